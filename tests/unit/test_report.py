"""What is told of a run: exit statuses, the JSON document, and that no problem holds a secret."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

import leaks
from keelback import errors
from keelback.archive import Finding, Severity
from keelback.errors import (
    ArchiveError,
    AttestationError,
    ChannelError,
    ConflictError,
    CredentialError,
    CredentialFileError,
    CredentialRefused,
    CredentialStoreError,
    ExchangeError,
    ExitStatus,
    Forbidden,
    IdentityError,
    Interrupted,
    KeelbackError,
    ServerError,
    SourceChanged,
    TransportError,
    UsageError,
)
from keelback.report import INTERRUPTED, ChannelReport, Outcome, Problem, Report, Status
from keelback.secret import MASK, Secret

GOOD = Outcome(
    file=Path("dist/demo-1.0-h0_0.conda"),
    name="demo",
    version="1.0",
    build="h0_0",
    subdir="noarch",
    size=1234,
    sha256="ab" * 32,
    status=Status.UPLOADED,
    url="https://example.com/chan/noarch/demo-1.0-h0_0.conda",
    attempts=2,
    seconds=0.12345,
)


def failed(error: KeelbackError) -> Outcome:
    """The outcome of an archive that met *error*."""
    return replace(GOOD, status=Status.FAILED, url=None, error=Problem.of(error))


def report(*outcomes: Outcome, **more: object) -> Report:
    """A run with one channel."""
    return Report([ChannelReport("https://example.com/chan", list(outcomes), **more)])


EXITS = [
    (KeelbackError, 1, "error"),
    (UsageError, 2, "usage"),
    (ArchiveError, 1, "bad-archive"),
    (CredentialError, 3, "no-credential"),
    (CredentialFileError, 3, "bad-credential-file"),
    (CredentialStoreError, 3, "store"),
    (CredentialRefused, 3, "credential-refused"),
    (IdentityError, 3, "no-identity"),
    (ExchangeError, 3, "exchange-refused"),
    (ChannelError, 1, "channel"),
    (ConflictError, 1, "conflict"),
    (Forbidden, 1, "forbidden"),
    (ServerError, 1, "server"),
    (AttestationError, 1, "bad-attestation"),
    (TransportError, 1, "transport"),
    (SourceChanged, 1, "source-changed"),
    (Interrupted, 130, "interrupted"),
]


@pytest.mark.parametrize(("error", "status", "code"), EXITS)
def test_each_error_has_its_exit_status_and_its_code(error: type[KeelbackError], status: int, code: str) -> None:
    """The table of exit statuses and codes, on which scripts rely."""
    more = {"status": 500} if error is ServerError else {}
    made = error("something happened", **more)
    assert (made.exit_status, made.code) == (status, code)
    assert report(failed(made)).exit_status == status


def test_the_table_of_errors_is_complete() -> None:
    """An error without a place in the table has no promise behind it."""
    defined = {each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, KeelbackError)}
    assert {error for error, _, _ in EXITS} == defined


@pytest.mark.parametrize(
    ("name", "value"),
    [("OK", 0), ("FAILED", 1), ("USAGE", 2), ("CREDENTIAL", 3), ("NOT_VISIBLE", 4), ("INTERRUPTED", 130)],
)
def test_exit_statuses_are_these_numbers(name: str, value: int) -> None:
    """The numbers never change."""
    assert ExitStatus[name] == value
    assert len(ExitStatus) == 6


@pytest.mark.parametrize("status", [Status.UPLOADED, Status.IDENTICAL, Status.SKIPPED, Status.REPLACED])
def test_a_run_without_failures_is_well(status: Status) -> None:
    """Whatever was there already, or is there now, is a success."""
    run = report(replace(GOOD, status=status))
    assert run.ok
    assert run.exit_status == ExitStatus.OK


def test_nothing_at_all_is_well() -> None:
    """A report without channels has nothing to complain of."""
    assert Report().exit_status == ExitStatus.OK


def test_what_is_not_in_the_index_yet_has_a_status_of_its_own() -> None:
    """Accepted and not yet visible is neither a success nor a failure."""
    assert report(replace(GOOD, visible=False)).exit_status == ExitStatus.NOT_VISIBLE
    assert report(replace(GOOD, visible=True)).exit_status == ExitStatus.OK
    assert report(replace(GOOD, visible=False), failed(ChannelError("no"))).exit_status == ExitStatus.FAILED


def test_the_gravest_problem_decides() -> None:
    """Interrupted goes before a refused credential, and that before any other failure."""
    no, refused = failed(ChannelError("no")), failed(CredentialRefused("no"))
    assert report(no, refused).exit_status == ExitStatus.CREDENTIAL
    assert report(no, refused, error=INTERRUPTED).exit_status == ExitStatus.INTERRUPTED
    assert Report(error=Problem.of(CredentialError("none"))).exit_status == ExitStatus.CREDENTIAL


def test_what_was_not_attempted_is_no_failure_of_its_own() -> None:
    """Why the run ended is said once, by the channel; the archives that it left are no reasons."""
    left = replace(GOOD, status=Status.NOT_ATTEMPTED, error=Problem("not-attempted", "the run ended before"))
    assert report(left).exit_status == ExitStatus.OK
    assert report(left, error=Problem.of(ChannelError("gone"))).exit_status == ExitStatus.FAILED


def test_an_outcome_as_json() -> None:
    """Exactly these members, in this order (design: additions only)."""
    assert list(GOOD.to_json().items()) == [
        ("file", "dist/demo-1.0-h0_0.conda".replace("/", str(Path("/"))[-1])),
        ("name", "demo"),
        ("version", "1.0"),
        ("build", "h0_0"),
        ("subdir", "noarch"),
        ("size", 1234),
        ("sha256", "ab" * 32),
        ("status", "uploaded"),
        ("url", "https://example.com/chan/noarch/demo-1.0-h0_0.conda"),
        ("attempts", 2),
        ("seconds", 0.123),
        ("error", None),
    ]


def test_an_error_as_json() -> None:
    """Exactly these members."""
    problem = failed(ConflictError("it is there", hint="raise the build number")).to_json()["error"]
    assert problem == {"code": "conflict", "message": "it is there", "hint": "raise the build number"}


def test_visibility_is_in_the_json_only_where_it_was_asked_for() -> None:
    """Without ``--verify`` nobody looked."""
    assert "visible" not in GOOD.to_json()
    assert replace(GOOD, visible=False).to_json()["visible"] is False


def test_a_report_as_json() -> None:
    """Version, dry run, and the channels with outcomes and a summary; more only where there is something to say."""
    document = report(GOOD, failed(ChannelError("no"))).to_json()
    assert list(document) == ["version", "dry_run", "channels"]
    assert (document["version"], document["dry_run"]) == (1, False)
    (channel,) = document["channels"]
    assert list(channel) == ["channel", "outcomes", "summary"]
    assert channel["summary"] == {"uploaded": 1, "failed": 1}

    finding = Finding(Severity.WARNING, "duplicate", Path("a.conda"), "", "the same file as b.conda", "")
    stopped = Report(error=Problem.of(UsageError("no files")), findings=[finding])
    assert list(stopped.to_json()) == ["version", "dry_run", "channels", "error", "findings"]


def test_the_summary_counts_what_occurred() -> None:
    """In the order of the statuses, without those that nothing met."""
    outcomes = [replace(GOOD, status=status) for status in (Status.FAILED, Status.UPLOADED, Status.FAILED)]
    assert list(report(*outcomes).channels[0].summary.items()) == [("uploaded", 1), ("failed", 2)]


def test_no_problem_holds_a_secret() -> None:
    """An error's message and hint are redacted when they become a problem, whoever wrote them."""
    token = leaks.new_secret("problem", special=True)
    Secret(token)
    problem = Problem.of(ServerError(f"said {token}", status=500, hint=f"not {token}"))
    assert problem.message == f"said {MASK}"
    assert problem.hint == f"not {MASK}"
    leaks.check(f"{problem!r} {problem.to_json()}", "a problem")
