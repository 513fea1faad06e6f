"""What a caller with a type checker may write, and what it may not; tests/unit/test_typing.py has mypy read this.

Nothing here is run. A line with an ignore is one that has to be an error: ``warn_unused_ignores`` objects where it is
none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_type

import keelback


class Bell(keelback.Reporter):
    """A reporter overrides what it wants to hear of."""

    def finished(self, outcome: keelback.Outcome) -> None:
        """Ring."""
        assert_type(outcome.status, keelback.Status)


def publishing(package: Path, channel: keelback.Channel, key: keelback.Secret) -> None:
    """Text, paths and channels; one or many."""
    assert_type(keelback.publish("dist/", "./channel"), keelback.Report)
    keelback.publish(package, Path("channel"))
    keelback.publish([package, "dist/*.conda"], [channel, Path("channel"), "https://prefix.dev/chan"])
    keelback.publish({package}, ("./one", "./two"))
    keelback.publish(package, channel, api_key=key, retry=keelback.Retry(attempts=2), reporter=Bell())
    keelback.publish(package, channel, username="ann", password="secret", insecure_hosts=["localhost"])
    keelback.publish(
        package, channel, api_key="text", auth_file="auth.json", verify=3, timeout=2, jobs=4, subdir="noarch"
    )

    keelback.publish(package)  # type: ignore[call-arg] # a destination is needed
    keelback.publish(package, b"channel")  # type: ignore[arg-type] # bytes are no destination
    keelback.publish(3, channel)  # type: ignore[arg-type] # a number is no path
    keelback.publish(package, channel, True)  # type: ignore[call-arg] # how a run is done goes by name
    keelback.publish(package, channel, api_key=b"key")  # type: ignore[arg-type] # a key is text
    keelback.publish(package, channel, reporter=print)  # type: ignore[arg-type] # a function is no reporter


def reading(report: keelback.Report) -> None:
    """What a run returns."""
    assert_type(report.ok, bool)
    assert_type(report.exit_status, keelback.ExitStatus)
    assert_type(report.error, keelback.Problem | None)
    assert_type(report.findings, Sequence[keelback.Finding])
    assert_type(report.to_json(), dict[str, Any])
    for channel in report.channels:
        assert_type(channel, keelback.ChannelReport)
        assert_type(channel.summary, dict[str, int])
    for outcome in report.outcomes:
        assert_type(outcome.file, Path)
        assert_type(outcome.sha256, str | None)
        assert_type(outcome.visible, bool | None)
        assert_type(outcome.error, keelback.Problem | None)
        outcome.error.code  # type: ignore[union-attr] # noqa: B018 - there need not be an error
        outcome.status = keelback.Status.FAILED  # type: ignore[misc] # what happened does not change


def checking() -> None:
    """Archives, without sending anything."""
    checked = keelback.check(["dist/"], subdir="noarch")
    assert_type(checked, keelback.Checked)
    assert_type(checked.archives, Sequence[keelback.PackageArchive])
    assert_type(checked.broken, Sequence[tuple[Path, keelback.Finding]])
    assert_type(keelback.inspect(Path("demo-1.0-0.conda")), keelback.PackageArchive)
    for finding in checked.findings:
        assert_type(finding.severity, keelback.Severity)


def credentials() -> None:
    """What is found for a URL, or nothing."""
    match = keelback.credential_for("https://prefix.dev/chan")
    assert_type(match, keelback.Match | None)
    if match is not None and isinstance(match.credential, keelback.BearerToken):
        assert_type(match.credential.token, keelback.Secret)
        assert_type(match.credential.token.reveal(), str)
    match.key  # type: ignore[union-attr] # noqa: B018 - there need not be one


def failing() -> None:
    """Everything raised on purpose is of one kind."""
    try:
        keelback.publish("dist/", "./channel")
    except keelback.CredentialRefused as error:
        assert_type(error.attempts, int)
    except keelback.KeelbackError as error:
        assert_type(error.code, str)
        assert_type(error.hint, str)
