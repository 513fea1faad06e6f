"""Running somebody else's command: no shell, a deadline, and no more of its output than is wanted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from keelback.childenv import for_child
from keelback.errors import Interrupted
from keelback.secret import redact, redact_cut, remember
from keelback.stopping import on_stop, stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_LIMIT: Final = 64 << 10
"""Bytes of output that are kept."""

_LINGERING: Final = 1.0
"""Seconds that are waited for the end of the output of a command that has ended: what it left running, as some do
that keep passwords, may hold it open for ever."""

_LONGEST_COMPLAINT: Final = 300
_SHORTEST_TOKEN: Final = 16

_APART: Final[Mapping[str, Any]] = (
    {"process_group": 0} if os.name == "posix" else {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}
)
"""On POSIX systems a process group of its own, so that what the command started can be ended with it."""


class CommandError(Exception):
    """The command gave no usable output; reads on from its name: ``is not installed``.

    Attributes:
        hint: what to do about it.
    """

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class CommandNotFound(CommandError):
    """There is no such program."""


@dataclass(frozen=True)
class Output:
    """What a command that ended by itself left behind.

    Attributes:
        status: its exit status; on POSIX systems, that of one which a signal ended is negative.
        stdout: what it printed.
        stderr: the beginning of what it said besides.
        cut: whether it said more than that.
    """

    status: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    cut: bool

    def complaint(self) -> str:
        """The end of what it said besides, where programs say what went wrong: one line, without secrets."""
        for word in self.stdout.decode(errors="replace").split():  # a token may have got into both
            if len(word) >= _SHORTEST_TOKEN:
                remember(word)
        text = self.stderr.decode(errors="replace")
        text = " ".join((redact_cut(text) if self.cut else redact(text)).split()).rstrip(".")
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
        return text if len(text) <= _LONGEST_COMPLAINT else f"…{text[1 - _LONGEST_COMPLAINT :]}"


def run(
    command: Sequence[str],
    request: bytes | None,
    deadline: float,
    environ: Mapping[str, str],
    *,
    keep: Collection[str] = (),
) -> Output:
    """Run *command* to its end.

    Args:
        command: the program and its arguments; the program by its whole path, or by its name alone.
        request: a few bytes for its standard input, which otherwise is at its end from the beginning.
        deadline: seconds; whatever is left of it then is killed.
        environ: its variables; it gets them without the identities of a CI job.
        keep: names of those that it gets nevertheless (:func:`keelback.childenv.for_child`).

    Raises:
        CommandNotFound: there is no such program.
        CommandError: it cannot be started, did not end in time, or printed more than 64 KiB.
        Interrupted: the user has stopped the run; the command is ended then.
    """
    if stopped():
        raise Interrupted("stopped before a helper was run")
    program = _found(command[0])
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell; a person's own choice, or a CI system's own program
            [program, *command[1:]],
            stdin=subprocess.DEVNULL if request is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=for_child(environ, keep=keep),
            **_APART,
        )
    except OSError as error:
        reason = error.strerror or "the system does not say why"
        raise CommandError(f"cannot be started: {reason}", "Run it yourself to see whether it works.") from error
    stdout = _Reader(cast("IO[bytes]", process.stdout), too_long=lambda: _kill(process))
    stderr = _Reader(cast("IO[bytes]", process.stderr))
    try:
        with on_stop(lambda: _kill(process) if process.returncode is None else None):
            _send(process.stdin, request)
            status = process.wait(deadline)
    except subprocess.TimeoutExpired:
        hint = "Run it yourself: it may be waiting for an answer. 'timeout' in its entry gives it more seconds."
        raise CommandError(f"gave no answer within {deadline:g} seconds, and was ended", hint) from None
    finally:
        if process.poll() is None:
            _kill(process)
            process.wait()
        end_of_waiting = time.monotonic() + _LINGERING
        stdout.wait(end_of_waiting)
        stderr.wait(end_of_waiting)
    if stopped():
        raise Interrupted("stopped while a helper ran")
    if len(stdout.data) > _LIMIT:
        raise CommandError(f"printed more than {_LIMIT >> 10} KiB", "Is it the right command?")
    return Output(status, bytes(stdout.data), bytes(stderr.data[:_LIMIT]), cut=len(stderr.data) > _LIMIT)


def _found(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        where = "does not exist, or cannot be run" if Path(program).is_absolute() else "is in no folder of the PATH"
        raise CommandNotFound(where, "Install it, or write its whole path into its entry.")
    if not Path(found).is_absolute() or (os.name == "nt" and _in_working_directory(program, Path(found))):
        raise CommandError(
            "is in the working directory, from which none is run", "Write its whole path into its entry."
        )
    return found


def _in_working_directory(program: str, found: Path) -> bool:
    """Whether Windows looked into the working directory before the PATH, where anybody may have put a program."""
    return not Path(program).is_absolute() and found.resolve().parent == Path.cwd()


def _send(stdin: IO[bytes] | None, request: bytes | None) -> None:
    """Write the request, which a pipe takes at once; a command that does not read it has its reasons."""
    if stdin is not None:
        with contextlib.suppress(OSError):
            stdin.write(request or b"")
        with contextlib.suppress(OSError):
            stdin.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the command and, as far as the system knows them, the processes that it started."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            # by its whole path: by its name alone, Windows would look for it in the working directory first
            taskkill = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")  # noqa: PTH118 - of Windows
            end_tree = [taskkill, "/F", "/T", "/PID", str(process.pid)]
            environ = for_child(os.environ)
            subprocess.run(end_tree, capture_output=True, check=False, timeout=5, env=environ)  # noqa: S603 - the system's own
    with contextlib.suppress(OSError):
        process.kill()


class _Reader:
    """Reads a stream in a thread, keeps the beginning of it, and drops the rest.

    Args:
        stream: what is read.
        too_long: called once there is more than is kept.
    """

    def __init__(self, stream: IO[bytes], too_long: Callable[[], None] = lambda: None) -> None:
        self.data = bytearray()
        self._stream = stream
        self._too_long = too_long
        self._thread = threading.Thread(target=self._read, name="keelback helper output", daemon=True)
        self._thread.start()

    def wait(self, deadline: float) -> None:
        """Wait for the end of the stream until the time *deadline* of the monotonic clock."""
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _read(self) -> None:
        with self._stream:
            while block := os.read(self._stream.fileno(), _LIMIT):
                if len(self.data) <= _LIMIT:
                    self.data += block
                    if len(self.data) > _LIMIT:
                        self._too_long()
