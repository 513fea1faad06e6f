"""The attestations that are piped in."""

from __future__ import annotations

import os
import stat
import sys
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

import click

from keelback.errors import AttestationError, UsageError

_CHUNK: Final = 1 << 16


class StandardInput:
    """The attestations on standard input, which can be read once.

    Args:
        descriptor: of the file to read; by default, that of standard input.
        quiet: for how many seconds nothing is said while a pipe is waited for.
        longest: how many seconds the first byte out of a pipe may take.
    """

    def __init__(self, descriptor: int | None = None, *, quiet: float = 2.0, longest: float = 60.0) -> None:
        self._descriptor = _standard_input() if descriptor is None else descriptor
        self._quiet = quiet
        self._longest = longest
        self._bundles: list[bytes] | None = None

    def named(self) -> list[bytes]:
        """What is there, where the user says that something is: it may take as long as it wants to.

        Raises:
            UsageError: it cannot be read.
            AttestationError: something else is there.
        """
        if self._descriptor is None:
            raise UsageError("standard input is closed: there is no attestation to be read")
        if self._bundles is None:
            self._bundles = _bundles(_rest(self._descriptor))
        return self._bundles

    def piped(self) -> list[bytes]:
        """What another process pipes in; none where standard input is anything but a pipe.

        Many programs start others with a pipe to which they write nothing and which they leave open: what is not asked
        for has to begin in time.

        Raises:
            UsageError: it cannot be read.
            AttestationError: something else is there; code ``no-attestation``: nothing is, yet.
        """
        if self._descriptor is None or not stat.S_ISFIFO(os.fstat(self._descriptor).st_mode):
            return []
        if self._bundles is None:
            self._bundles = []  # what did not come in time is not waited for again
            start = self._start(self._descriptor)
            self._bundles = _bundles(start + _rest(self._descriptor) if start else start)
        return self._bundles

    def _start(self, descriptor: int) -> bytes:
        """The first bytes; they are waited for in a thread that does not keep the process from ending."""
        answer: SimpleQueue[bytes | OSError] = SimpleQueue()

        def read() -> None:
            try:
                answer.put(os.read(descriptor, _CHUNK))
            except OSError as error:
                answer.put(error)

        Thread(target=read, name="standard-input", daemon=True).start()
        try:
            found = answer.get(timeout=min(self._quiet, self._longest))
        except Empty:
            click.echo("waiting for an attestation on standard input", err=True)
            found = self._later(answer)
        if isinstance(found, OSError):
            raise _unreadable(found)
        return found

    def _later(self, answer: SimpleQueue[bytes | OSError]) -> bytes | OSError:
        try:
            return answer.get(timeout=max(self._longest - self._quiet, 0))
        except Empty:
            raise AttestationError(
                f"none came on standard input in {self._longest:g} seconds",
                hint="Name files or folders with --attestation; after '--attestation -', no time is too long.",
                code="no-attestation",
            ) from None


def _standard_input() -> int | None:
    try:
        return None if sys.stdin is None else sys.stdin.fileno()
    except (OSError, ValueError):  # it is closed, or no file of the operating system's
        return None


def _rest(descriptor: int) -> bytes:
    """What can be read up to the end, or to a little more than anybody would take."""
    from keelback.attestationfiles import LARGEST  # noqa: PLC0415 - not for --help

    pieces: list[bytes] = []
    size = 0
    try:
        while size <= LARGEST and (piece := os.read(descriptor, _CHUNK)):
            pieces.append(piece)
            size += len(piece)
    except OSError as error:
        raise _unreadable(error) from None
    return b"".join(pieces)


def _unreadable(error: OSError) -> UsageError:
    from keelback.archive.source import reason  # noqa: PLC0415 - not for --help

    return UsageError(f"standard input cannot be read: {reason(error)}")


def _bundles(document: bytes) -> list[bytes]:
    from keelback.attestationfiles import bundles_in  # noqa: PLC0415 - not for --help

    return bundles_in(document, "standard input")
