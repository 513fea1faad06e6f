"""What a person is told of a run with a bucket: each thing once, and with what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from cli_runner import NO_CLOUD
from in_process import run_here
from keelback.channels.buckets.s3errors import Action, Place, s3_error
from keelback.channels.buckets.s3requests import Reply
from keelback.secret import MASK
from keelback.transport import Answer
from making import make_conda
from servers.scripted.faults import Fault
from servers.scripted.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli_runner import Completed
    from servers.scripted.exchange import Recorded

KEY_ID = "AKWRITER"
QUICK = ("--retries", "0")
REFUSED = {"status": 403, "media": "text/xml", "body": "<Error><Code>AccessDenied</Code></Error>", "times": None}


def is_index(request: Recorded) -> bool:
    """Whether it writes the index."""
    return request.method == "PUT" and request.path.endswith("/repodata.json")


@pytest.fixture
def secret() -> str:
    """What the server knows."""
    return leaks.new_secret("s3")


@pytest.fixture
def server(secret: str) -> Iterator[S3Server]:
    """One bucket."""
    with S3Server({KEY_ID: secret}) as running:
        yield running
    running.assert_clean()


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Three packages."""
    return [make_conda(tmp_path / "dist", f"demo{number}") for number in range(3)]


def publish(server: S3Server, secret: str, home: Path, *arguments: Any) -> Completed:
    """``keelback publish`` to the channel of this test."""
    env = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": secret, "S3_ENDPOINT_URL": server.url}
    return run_here(["publish", "--to", "s3://packages/ch", *QUICK, *arguments], env={**NO_CLOUD, **env}, home=home)


def test_what_is_not_in_the_index_has_failed_the_second_time_too(
    server: S3Server, secret: str, three: list[Path], tmp_path: Path
) -> None:
    """Whether it was sent by this run or lies there from the last; what the index has already is as it was."""
    assert publish(server, secret, tmp_path, three[0]).returncode == 0
    fault = Fault("status", when=is_index, **REFUSED)
    server.plan(fault)
    first = publish(server, secret, tmp_path, "--json", *three)
    second = publish(server, secret, tmp_path, *three)
    assert [outcome["status"] for outcome in first.json()["channels"][0]["outcomes"]] == [
        "identical",
        "failed",
        "failed",
    ]
    assert second.returncode == 1
    assert re.search(r"^failed +noarch/demo[12]-1.0-h0_0.conda$", second.stdout, re.MULTILINE)
    assert re.search(r"^failed +and 1 more, for the same reason: noarch/demo[12]-1", second.stdout, re.MULTILINE)
    assert "Run the same command again: it does only what is left." in second.stderr
    assert second.stdout.endswith("s3://packages/ch: 1 identical, 2 failed\n")


def test_a_dry_run_says_what_it_cannot_know(server: S3Server, secret: str, three: list[Path], tmp_path: Path) -> None:
    """Nothing is written to find out whether it may be; that is said, once."""
    done = publish(server, secret, tmp_path, "--dry-run", *three)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("whether it may be written was not tried (dry run)") == 1
    assert server.objects == {}


def test_a_warning_is_called_one(secret: str, three: list[Path], tmp_path: Path) -> None:
    """It stands among other lines of a run."""
    with S3Server({KEY_ID: secret}, conditions="ignored") as server:
        done = publish(server, secret, tmp_path, *three)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("warning: s3://packages/ch does not honour conditions")


def test_where_no_credential_is_found_it_is_said_where_was_looked(three: list[Path], tmp_path: Path) -> None:
    """And what to do, with the bucket's own name."""
    done = run_here(["publish", "--to", "s3://acme/ch", three[0]], env=NO_CLOUD, home=tmp_path)
    assert done.returncode == 3
    assert "No credential for s3://acme/ch: none of the keys acme, s3://acme/ch, s3://acme" in done.stderr
    assert "keelback auth login s3://acme " in done.stderr
    assert "keelback auth check s3://acme/ch" in done.stderr
    done = run_here(["publish", "--to", "gs://acme/ch", three[0]], env=NO_CLOUD, home=tmp_path)
    assert "none of the keys gs://acme/ch, gs://acme, storage.googleapis.com" in done.stderr
    assert "keelback auth login gs://acme " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "gs://acme/ch", "--region", "eu"], "--region is for S3 buckets"),
        (["--to", "az://acme/c/ch", "--addressing-style", "path"], "--addressing-style is for S3 buckets"),
        (
            ["--to", "quetz+https://q.example/ch", "--endpoint-url", "https://m.example"],
            "--endpoint-url is for buckets",
        ),
        (["--to", "./ch", "--region", "eu"], "--region is for buckets"),
    ],
)
def test_options_that_no_channel_has_a_use_for_are_refused(
    arguments: list[str], said: str, three: list[Path], tmp_path: Path
) -> None:
    """They were meant for something; by ``fetch`` as by ``publish``."""
    done = run_here(["publish", *arguments, three[0]], env=NO_CLOUD, home=tmp_path)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    done = run_here(["fetch", arguments[1], "demo", *arguments[2:]], env=NO_CLOUD, home=tmp_path)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_options_for_one_of_several_channels_are_taken(tmp_path: Path, three: list[Path]) -> None:
    """A run with a bucket in it may say where that is."""
    to = ["--to", "gs://acme/ch", "--to", "s3://acme/ch", "--region", "eu-west-1"]
    done = run_here(["publish", *to, three[0]], env=NO_CLOUD, home=tmp_path)
    assert done.returncode == 3, done.stderr


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "SlowDown", "AccessDenied"])
def test_no_hint_has_to_be_redacted(code: str) -> None:
    """A hint that looks like a secret to the redaction would lose the words that matter."""
    answer = Answer(403, {}, f"<Error><Code>{code}</Code></Error>".encode(), "https://s3.example/")
    error = s3_error(
        Reply.of(answer), Action("write it", "s3:PutObject"), Place("b", "s3.example", "r", "arn", "a test")
    )
    assert error.hint
    assert MASK not in error.hint
