"""Progress bars: one for each archive under way, and one for all of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from keelback.findings import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.report import Archive, Outcome


class Bars:
    """The bars of one channel.

    Args:
        url: where it goes.
        archives: what goes there.
    """

    def __init__(self, url: str, archives: Sequence[Archive]) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._lock = threading.Lock()
        self._count = len(archives)
        self._finished = 0
        self._url = url
        self._tasks: dict[str, TaskID] = {}
        self._sizes = {archive.relative_path: archive.size or 0 for archive in archives}
        self._out: dict[str, int] = {}
        self._total = self._progress.add_task(self._title(), total=sum(self._sizes.values()))
        self._progress.start()

    def started(self, archive: Archive) -> None:
        """The bar of *archive* is at zero."""
        with self._lock:
            path = archive.relative_path
            task = self._tasks.get(path)
            if task is None:
                self._tasks[path] = self._progress.add_task(f"  {archive.filename}", total=archive.size)
            else:
                self._progress.reset(task)
            self._progress.advance(self._total, -self._out.get(path, 0))
            self._out[path] = 0

    def sent(self, archive: Archive, count: int) -> None:
        """The bar of *archive* moves by *count* bytes."""
        with self._lock:
            path = archive.relative_path
            self._out[path] = self._out.get(path, 0) + count
            self._progress.advance(self._tasks[path], count)
            self._progress.advance(self._total, count)

    def finished(self, outcome: Outcome) -> None:
        """The bar of the archive goes away, and the one for all counts it as done."""
        with self._lock:
            path = outcome.relative_path
            self._finished += 1
            task = self._tasks.pop(path, None)
            if task is not None:
                self._progress.remove_task(task)
            left = self._sizes.get(path, 0) - self._out.get(path, 0)
            self._progress.advance(self._total, left)
            self._progress.update(self._total, description=self._title())

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """Take the bars away."""
        self._progress.stop()

    def _title(self) -> str:
        return f"{printable(self._url)}  {self._finished}/{self._count}"
