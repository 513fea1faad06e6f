"""What a person is told of a run with a bucket: each thing once, and with what to do about it."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

import keelback
import leaks
from cli_runner import NO_CLOUD, start_keelback
from in_process import run_here
from keelback.channels.buckets.s3errors import Action, Place, s3_error
from keelback.channels.buckets.s3reply import Reply
from keelback.channels.session import BucketOptions
from keelback.errors import UsageError
from keelback.secret import MASK
from keelback.transport import Answer
from making import make_conda
from servers.scripted.faults import Fault
from servers.scripted.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


@pytest.mark.skipif(
    os.name == "nt" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    reason="signals do not reach the children of this process",
)
def test_a_stopped_run_says_what_it_took_back(server: S3Server, secret: str, three: list[Path], tmp_path: Path) -> None:
    """What was said to be there, and did not get into the index, gets a line that says so."""
    arrived = threading.Event()

    def is_last(request: Recorded) -> bool:
        found = request.method == "PUT" and request.path.endswith("demo2-1.0-h0_0.conda")
        if found:
            arrived.set()
        return found

    server.plan(Fault("stall", when=is_last, times=None))
    env = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": secret, "S3_ENDPOINT_URL": server.url}
    running = start_keelback(
        ["publish", "--to", "s3://packages/ch", "-j", "1", *QUICK, *three], env={**NO_CLOUD, **env}, home=tmp_path
    )
    assert arrived.wait(30)
    running.process.send_signal(signal.SIGINT)
    done = running.finish(timeout=15)
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("uploaded")] == [
        "noarch/demo0-1.0-h0_0.conda",
        "noarch/demo1-1.0-h0_0.conda",
    ]
    assert re.search(r"^failed .*noarch/demo0", done.stdout, re.MULTILINE)
    assert re.search(r"^failed .*noarch/demo1", done.stdout, re.MULTILINE)
    assert lines[-1] == "s3://packages/ch: 3 failed"


def test_a_dry_run_finds_a_bucket_that_is_missing(
    server: S3Server, secret: str, three: list[Path], tmp_path: Path
) -> None:
    """As the run itself would."""
    done = publish(server, secret, tmp_path, "--to", "s3://missing/ch", "--dry-run", *three)
    assert done.returncode == 1
    assert "NoSuchBucket" in done.stderr


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


@pytest.mark.parametrize(
    "run",
    [
        lambda folder, options: keelback.publish(folder / "dist", folder / "to", buckets=options),
        lambda folder, options: keelback.fetch(folder, "demo", buckets=options),
        lambda folder, options: keelback.copy(folder, folder / "to", buckets=options),
        lambda folder, options: keelback.index(folder, buckets=options),
    ],
    ids=["publish", "fetch", "copy", "index"],
)
def test_a_program_is_told_of_options_that_no_channel_has_a_use_for(
    run: Callable[[Path, BucketOptions], object], tmp_path: Path, three: list[Path]
) -> None:
    """As a person is: whoever names a region means a bucket."""
    with pytest.raises(UsageError, match="--region is for buckets, and not for "):
        run(tmp_path, BucketOptions(region="eu"))
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_an_endpoint_is_that_of_one_kind_of_service(tmp_path: Path, three: list[Path]) -> None:
    """Nothing is sent to it that was meant for another."""
    options = BucketOptions(endpoint_url="https://minio.example")
    with pytest.raises(UsageError, match="cannot be the endpoint of gs://acme/ch and of s3://acme/ch"):
        keelback.publish(three, ["gs://acme/ch", "s3://acme/ch"], buckets=options)


def test_options_for_one_of_several_channels_are_taken(tmp_path: Path, three: list[Path]) -> None:
    """A run with a bucket in it may say where that is."""
    to = ["--to", "gs://acme/ch", "--to", "s3://acme/ch", "--region", "eu-west-1"]
    done = run_here(["publish", *to, three[0]], env=NO_CLOUD, home=tmp_path)
    assert done.returncode == 3, done.stderr


def test_an_endpoint_is_for_the_channels_that_do_not_name_their_own(
    server: S3Server, secret: str, tmp_path: Path, three: list[Path]
) -> None:
    """Of two channels in two services, each gets what is meant for it."""
    with S3Server({KEY_ID: secret}) as other:
        keys = {"S3Credentials": {"access_key_id": KEY_ID, "secret_access_key": secret}}
        auth = leaks.holds_secrets(tmp_path / "auth.json")
        auth.write_text(json.dumps({"packages": keys}))
        auth.chmod(0o600)
        to = ["--to", "s3://packages/one", "--to", f"s3+{other.url}/packages/two", "--endpoint-url", server.url]
        done = run_here(["publish", *to, "--auth-file", auth, three[0]], env=NO_CLOUD, home=tmp_path)
        assert done.returncode == 0, done.stderr
        assert {key.partition("/")[0] for key in other.objects} == {"two"}
    assert {key.partition("/")[0] for key in server.objects} == {"one"}


def test_fetch_without_keys_says_how_to_give_them(server: S3Server, tmp_path: Path) -> None:
    """As publish does: no web server's login opens a bucket."""
    done = run_here(["fetch", f"s3+{server.url}/packages/ch", "demo"], env=NO_CLOUD, home=tmp_path)
    assert done.returncode == 3
    assert "Log in with: keelback auth login s3://packages --s3-access-key-id" in done.stderr
    assert "AWS_PROFILE" in done.stderr


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("s3.eu-west-1.amazonaws.com", "make it: aws s3 mb s3://acme --region eu-west-1."),
        ("minio.example", "make it with the service's own tools."),
    ],
)
def test_a_bucket_that_is_missing_comes_with_how_to_make_it(host: str, told: str) -> None:
    """With the command, where that is known."""
    answer = Answer(404, {}, b"<Error><Code>NoSuchBucket</Code></Error>", f"https://{host}/")
    place = Place("acme", host, "eu-west-1", "arn", "a test")
    error = s3_error(Reply.of(answer), Action("list it", "s3:ListBucket"), place)
    assert error.message.startswith(f"{host} has no bucket 'acme' (NoSuchBucket)")
    assert error.hint.endswith(told)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "SlowDown", "AccessDenied"])
def test_no_hint_has_to_be_redacted(code: str) -> None:
    """A hint that looks like a secret to the redaction would lose the words that matter."""
    answer = Answer(403, {}, f"<Error><Code>{code}</Code></Error>".encode(), "https://s3.example/")
    error = s3_error(
        Reply.of(answer), Action("write it", "s3:PutObject"), Place("b", "s3.example", "r", "arn", "a test")
    )
    assert error.hint
    assert MASK not in error.hint
