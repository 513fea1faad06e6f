"""Finds secrets where none belongs: in what tests print, log, raise and write.

Every secret in a test comes from :func:`new_secret`. It holds two runs of random hexadecimal digits, and the search is
for those runs: whatever a program does to the characters around them (percent-encoding, JSON or Python escapes, HTML
entities, cutting the text short, wrapping its lines), a run is still there. Base64, which hides them, has three
spellings of a run, one for each position at which it can start; all are searched for, so that ``user:secret`` is
found whoever the user is. A secret that another program made is put on the list with :func:`watch`.

:class:`LeakCheck` is the pytest plugin. It fails any test whose captured output, log or failure text holds a secret of
the process, and says which by its label, with the secret taken out. It is made known in ``conftest.py``.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

MASK: Final = "[secret]"
SPECIAL: Final = "%/+=&?#:@ \"'\\<~"
"""Characters that some spelling escapes; no comma and no newline, which header fields cannot carry."""
SEARCHED_FILES: Final = frozenset({".log", ".json", ".txt", ".out"})
WATCHED_LOGGERS: Final = ("keelback", "httpx2")
"""Loggers whose every record is captured: what a user sees who turns on debugging."""

_RUN: Final = 12
_HEX_RUN: Final = re.compile(rf"(?=([0-9a-f]{{{_RUN}}}))")
_BASE64_RUN: Final = re.compile(r"(?=([A-Za-z0-9+/_-]{15}))")
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SPACE: Final = re.compile(r"\s+")
_TOKEN: Final = re.compile(r"[^\s\"'<>]+")

_hex_runs: dict[str, str] = {}
_base64_runs: dict[str, str] = {}
_watched: dict[str, str] = {}
_holders: set[Path] = set()


def new_secret(label: str, *, special: bool = False) -> str:
    """A random secret that the leak check knows.

    Args:
        label: what to call it where it leaked; letters, digits and hyphens.
        special: put characters into it that URLs, JSON and shells escape.
    """
    first, second = (secrets.token_hex(_RUN // 2) for _ in range(2))
    for run in (first, second):
        _hex_runs[run] = label
        _base64_runs.update(dict.fromkeys(_base64_spellings(run, shortest=15), label))
    return f"kbsec-{label}-{first}{SPECIAL if special else ''}{second}"


def watch(secret: str, label: str) -> str:
    """Have a secret searched for that some other program made; returns it."""
    spellings = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        *_base64_spellings(secret),
    }
    _watched.update(dict.fromkeys(spellings, label))
    return secret


def holds_secrets(path: Path) -> Path:
    """Say that a file holds secrets on purpose, as an auth file does; returns it."""
    _holders.add(path.resolve())
    return path


def find(text: str | bytes) -> list[str]:
    """The labels of all secrets in *text*, sorted."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    plain = _ANSI.sub("", text)
    found: set[str] = set()
    for spelling in {plain, _SPACE.sub("", plain)}:
        found.update(_hex_runs[run] for run in _HEX_RUN.findall(spelling.lower()) if run in _hex_runs)
        found.update(_base64_runs[run] for run in _BASE64_RUN.findall(spelling) if run in _base64_runs)
        found.update(label for needle, label in _watched.items() if needle in spelling)
    return sorted(found)


def masked(text: str) -> str:
    """*text* without the words that hold a secret."""
    lines = (_TOKEN.sub(lambda word: MASK if find(word[0]) else word[0], line) for line in text.split("\n"))
    text = "\n".join(MASK if find(line) else line for line in lines)
    return MASK if find(text) else text


def check(text: str | bytes, where: str) -> None:
    """Fail where *text* holds a secret.

    Raises:
        AssertionError: it does; the message has the secret's label and *where*, and not the secret.
    """
    labels = find(text)
    if labels:
        raise AssertionError(_accusation(labels, where))


def check_files(folder: Path) -> list[str]:
    """What is wrong with the files below *folder*: one sentence for each that holds a secret and should not."""
    wrong = []
    for path in sorted(folder.rglob("*")):
        if path.suffix not in SEARCHED_FILES or path.resolve() in _holders or not path.is_file():
            continue
        labels = find(path.read_bytes())
        if labels:
            wrong.append(_accusation(labels, f"the file {path.relative_to(folder)}"))
    return wrong


class LeakCheck:
    """The pytest plugin: looks at every report and at everything read through ``capsys`` and its like."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    def pytest_configure(self) -> None:
        """Have every captured text looked at when a test takes it."""
        take = pytest.CaptureFixture.readouterr

        def take_and_check(fixture: pytest.CaptureFixture) -> object:
            taken = take(fixture)
            for text, stream in zip(taken, ("stdout", "stderr"), strict=True):
                check(text, f"captured {stream}")
            return taken

        self._patch.setattr(pytest.CaptureFixture, "readouterr", take_and_check)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Have every record of the watched loggers made, whatever the test before this one has set."""
        for name in WATCHED_LOGGERS:
            logger = logging.getLogger(name)
            logger.propagate = True
            logger.setLevel(logging.DEBUG)

    def pytest_unconfigure(self) -> None:
        """Leave pytest as it was."""
        self._patch.undo()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail the phase of a test that leaked, and take the secret out of its report."""
        report = yield
        accuse(report)
        return report


def accuse(report: pytest.TestReport) -> None:
    """Turn *report* into a failure where its own phase shows a secret; no secret is left in it afterwards."""
    own = [(title, text) for title, text in report.sections if title.endswith(f" {report.when}")]
    shown = [*own, ("the failure text", _failure_text(report))]
    accusations = [_accusation(labels, where) for where, text in shown if (labels := find(text))]
    report.sections = [(title, masked(text)) for title, text in report.sections]
    if find(_failure_text(report)) or (accusations and not report.failed):
        report.longrepr = masked("\n".join([*accusations, _failure_text(report)]).rstrip())
    elif accusations:
        report.sections.append(("Leak check", "\n".join(accusations)))
    if accusations:
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)


def _failure_text(report: pytest.TestReport) -> str:
    return "" if report.longrepr is None else str(report.longrepr)


def _accusation(labels: Iterable[str], where: str) -> str:
    return f"leak check: the secret(s) {', '.join(map(repr, labels))} can be read in {where}"


def _base64_spellings(value: str, shortest: int = 8) -> list[str]:
    """What *value* looks like inside base64, at each of the three positions where it can start."""
    spellings = []
    for before in range(3):
        raw = b"\0" * before + value.encode()
        encoded = base64.b64encode(raw).decode()
        inside = encoded[-(-before * 8 // 6) : len(raw) * 8 // 6]
        length = 15 if shortest == 15 else len(inside)
        spellings += {inside[:length], inside[:length].translate(str.maketrans("+/", "-_"))}
    return [spelling for spelling in spellings if len(spelling) >= shortest]
