"""Runs a server as a child process for as long as a ``with`` block lasts."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_ATTEMPTS = 3
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


@contextlib.contextmanager
def listening(
    command_for: Callable[[int], Sequence[str | Path]],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Start a server, wait until it takes connections, and stop it at the end of the block.

    Args:
        command_for: the command that listens on the port it is given, on 127.0.0.1. It is asked again with another
            port when the server does not come up, because somebody else may have taken the first one meanwhile.
        cwd: where the server runs.
        log: where its output goes; its end is in the error when the server does not come up.
        env: its environment; this process's own without it.

    Yields:
        The port.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        port = _free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command_for(port), cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            if _accepts(process, port):
                yield port
                return
        finally:
            _stop(process)
        if attempt == _ATTEMPTS:
            end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"{process.args!r} did not start (exit status {process.returncode}):\n{end}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return process.poll() is None
        # Its end is what cuts this short; being alive and not yet listening is a reason to look again.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
            return False
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
