"""What the command line shows of a run, and keeps for its document."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leaks
from keelback.cli.console import Console
from keelback.report import ChannelReport, Outcome, Problem, Report, Status
from keelback.secret import MASK, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNEL = "https://example.com/chan"
FULL = Problem("full", "the bucket has no room", "Make room.")


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """That of keelback, which is afterwards as it was."""
    logger = logging.getLogger("keelback")
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def console(*, as_json: bool = False) -> Console:
    """One for a log."""
    return Console(as_json=as_json, quiet=False, verbose=0, progress=False, dry_run=False)


def outcome(name: str, status: Status, error: Problem | None = None) -> Outcome:
    """What became of *name*."""
    return Outcome(
        file=Path(f"{name}-1.0-0.conda"),
        name=name,
        version="1.0",
        build="0",
        subdir="noarch",
        size=1,
        sha256=None,
        status=status,
        error=error,
    )


def test_one_error_of_many_archives_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The others are named with it, as far as there are not too many; another error is another."""
    failed = [outcome(f"demo{number}", Status.FAILED, FULL) for number in range(13)]
    other = outcome("other", Status.FAILED, replace(FULL, message="it is too large"))
    left = [outcome(name, Status.NOT_ATTEMPTED, Problem("not-attempted", "stopped")) for name in ("x", "y")]
    report = Report([ChannelReport(CHANNEL, [*failed, other, *left])])
    with console() as shown:
        shown.channel(CHANNEL, [])
        for one in [*failed, other]:
            shown.finished(one)
    shown.summary(report)
    said = capsys.readouterr().out
    assert (said.count("the bucket has no room"), said.count("it is too large"), said.count("stopped")) == (1, 1, 1)
    named = ", ".join(f"noarch/demo{number}-1.0-0.conda" for number in range(1, 11))
    assert f"failed         and 12 more, for the same reason: {named}, ...\n" in said
    assert "not-attempted  and 1 more, for the same reason: noarch/y-1.0-0.conda\n" in said
    assert len(report.to_json()["channels"][0]["outcomes"]) == 16


def test_the_same_error_in_another_channel_is_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Each channel has what is to be done about it."""
    with console() as shown:
        for channel in (CHANNEL, f"{CHANNEL}2"):
            shown.channel(channel, [])
            shown.finished(outcome("demo", Status.FAILED, FULL))
    assert capsys.readouterr().out.count("Make room.") == 2


def test_notes_and_warnings_are_in_the_document(capsys: pytest.CaptureFixture[str], logger: logging.Logger) -> None:
    """Without secrets and control characters; what is tried again, and what is for -v alone, is none of them."""
    secret = Secret(leaks.new_secret("note"))
    shown = console(as_json=True)
    shown.note(f"a note with {secret.reveal()}")
    shown.waiting(outcome("demo", Status.UPLOADED), 1.0, "503")
    logger.getChild("somewhere").warning("a %s\x1b[31m", "warning")
    logger.info("said to nobody")
    assert Report(notes=shown.notes).to_json()["notes"] == [f"a note with {MASK}", "a warning?[31m"]
    assert "notes" not in Report().to_json()
    said = capsys.readouterr().err
    assert f"\na note with {MASK}\n" in f"\n{said}"
    assert "\nwarning: a warning?[31m\n" in said
