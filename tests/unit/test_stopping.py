"""Ctrl-C ends whatever a run waits for: a helper, a lock that somebody else has, the solver, a keychain."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

import leaks
from cli_runner import start_keelback
from keelback import solving
from keelback.credentials.deadlines import within
from keelback.credentials.helpers import Helper
from keelback.credentials.locks import locked
from keelback.errors import Interrupted
from keelback.stopping import on_stop, start_afresh, stop_everything, stopped
from keelback.transport import Client
from keelback.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FOREVER = "import signal, time; print('up', flush=True); time.sleep(600)"
AT_ONCE = 10.0
"""Seconds; it takes less than two, and the machine may be busy."""


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    """A test stops nothing but itself."""
    yield
    start_afresh()


def interrupted_while(work: Callable[[threading.Event], object]) -> float:
    """Carry out *work*, which says when it waits, press Ctrl-C then, and say how long it took to end."""
    waits = threading.Event()
    began: list[float] = []

    class Pressed(Workers):
        """Ctrl-C comes as soon as the work waits, in the main thread, as it does."""

        def _break_off(self) -> None:
            began.append(time.monotonic())
            super()._break_off()

    def press() -> None:
        waits.wait(60)
        signal.raise_signal(signal.SIGINT) if os.name == "nt" else os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with Client() as client, pytest.raises(Interrupted):
        Pressed(client).carry_out(lambda: work(waits))
    presser.join()
    assert not stopped()
    return time.monotonic() - began[0]


def test_a_helper_is_ended() -> None:
    """With its own deadline of minutes."""

    def work(waits: threading.Event) -> None:
        waits.set()
        Helper((sys.executable, "-S", "-c", FOREVER), timeout=300).credential_for("https://h.example")

    assert interrupted_while(work) < AT_ONCE


def test_a_lock_is_not_waited_for() -> None:
    """Somebody else may have it for a minute."""
    release = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with locked("the lock of a test", "it"):
            held.set()
            release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()

    def work(waits: threading.Event) -> None:
        held.wait(60)
        waits.set()
        with locked("the lock of a test", "it"):
            raise AssertionError("somebody else has it")

    assert interrupted_while(work) < AT_ONCE
    release.set()
    holder.join()
    with locked("the lock of a test", "it"):  # and a later run gets it
        pass


def test_an_answer_is_not_waited_for() -> None:
    """Of a keychain that hangs, or a server that logs people in."""
    enough = threading.Event()

    def work(waits: threading.Event) -> None:
        waits.set()
        within(300, lambda: enough.wait(300), "a test")

    assert interrupted_while(work) < AT_ONCE
    enough.set()


def test_the_solver_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has minutes."""
    slow = tmp_path / "python"
    slow.write_text(f"#!/bin/sh\nexec {sys.executable} -S -c '{FOREVER.replace(chr(39), chr(34))}'\n")
    slow.chmod(0o755)
    if os.name != "posix":
        pytest.skip("scripts in the place of a program are POSIX's")
    monkeypatch.setattr(solving.sys, "executable", str(slow))

    def work(waits: threading.Event) -> None:
        waits.set()
        solving.solve([], [], [])

    assert interrupted_while(work) < AT_ONCE


def test_what_is_registered_late_is_called_at_once_and_what_is_over_is_not() -> None:
    """Ctrl-C may come a moment before there is anything to end."""
    called: list[str] = []
    with on_stop(lambda: called.append("over")):
        pass
    with on_stop(lambda: called.append("early")):
        stop_everything()
        with on_stop(lambda: called.append("late")):
            assert called == ["early", "late"]
    start_afresh()
    with on_stop(lambda: called.append("afresh")):
        assert called == ["early", "late"]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have named pipes, and signals to send")
@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
def test_a_fetch_that_waits_for_a_helper_ends_at_once(tmp_path: Path, signals: list[signal.Signals]) -> None:
    """As one that was stopped, with the exit status of that."""
    pipe, script, own = tmp_path / "pipe", tmp_path / "helper.py", leaks.holds_secrets(tmp_path / "own.json")
    os.mkfifo(pipe)
    script.write_text(f"open({str(pipe)!r}, 'w').close()\n{FOREVER}\n")
    helper = {"command": [sys.executable, "-S", str(script)], "timeout": 300}
    own.write_text(json.dumps({"127.0.0.1/chan": {"Helper": helper}}))
    own.chmod(0o600)
    url = "http://127.0.0.1:9/chan"
    run = start_keelback(["fetch", url, "boat"], env={"KEELBACK_CREDENTIALS_FILE": str(own)})
    pipe.open().close()  # waits until the helper is up
    before = time.monotonic()
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            run.process.send_signal(number)
    done = run.finish()
    assert done.returncode == 130, done.stderr
    assert time.monotonic() - before < AT_ONCE
