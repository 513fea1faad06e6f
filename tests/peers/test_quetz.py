"""keelback fills a real Quetz, and py-rattler reads it."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

import leaks
from cli_runner import run_keelback
from making import make_conda
from peers import quetz, rattler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli_runner import Completed

pytestmark = pytest.mark.peer("quetz")

_numbers = itertools.count()


@pytest.fixture
def server(require_peer: Callable[[str, bool, str], None], request: pytest.FixtureRequest) -> quetz.Quetz:
    """The Quetz of this module; each test has a channel and a key of its own."""
    require_peer("quetz", not quetz.WHY_NOT, quetz.WHY_NOT)
    running = request.getfixturevalue("running_quetz")  # not before it is known that there is one
    assert isinstance(running, quetz.Quetz)
    return running


@pytest.fixture(scope="module")
def running_quetz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[quetz.Quetz]:
    """Quetz takes seconds to start, so it is started once."""
    with quetz.serving(tmp_path_factory.mktemp("quetz") / "server") as running:
        yield running


@pytest.fixture
def channel(server: quetz.Quetz) -> str:
    """The name of a new, private channel."""
    name = f"harbour-{next(_numbers)}"
    server.make_channel(name, private=True)
    return name


@pytest.fixture
def key(server: quetz.Quetz) -> str:
    """A key that may do everything."""
    return leaks.watch(server.make_key(), "quetz-key")


def publish(server: quetz.Quetz, channel: str, key: str, *arguments: str | Path) -> Completed:
    """``keelback publish --json`` to *channel*, with the key in the environment."""
    target = f"quetz+{server.url}/{channel}"
    return run_keelback(["publish", "--json", "--to", target, *map(str, arguments)], env={"QUETZ_API_KEY": key})


def statuses(done: Completed) -> dict[str, str]:
    """What became of each file, by its name."""
    (channel,) = done.json()["channels"]
    return {f"{one['name']}-{one['version']}-{one['build']}.conda": one["status"] for one in channel["outcomes"]}


def hashes(server: quetz.Quetz, channel: str, name: str) -> dict[str, str]:
    """The hashes that Quetz computed itself, by file name."""
    return {one["filename"]: one["info"]["sha256"] for one in server.package(channel, name)}


def make_chain(folder: Path, count: int) -> list[Path]:
    """Packages of which each depends on the one before."""
    return [make_conda(folder, f"link-{n}", depends=[f"link-{n - 1}"] if n else ()) for n in range(count)]


def test_a_folder_of_packages_fills_a_private_channel_from_which_py_rattler_installs(
    server: quetz.Quetz, channel: str, key: str, tmp_path: Path
) -> None:
    """What was published is there with the right hashes, solvable and installable, for who has the key."""
    built = make_chain(tmp_path / "dist", 20)

    done = publish(server, channel, key, "--verify", tmp_path / "dist")

    assert done.returncode == 0, done.stderr
    assert statuses(done) == {path.name: "uploaded" for path in built}
    sent = {one["sha256"] for one in done.json()["channels"][0]["outcomes"]}
    url, auth = f"{server.url}/get/{channel}", auth_file(tmp_path, {"CondaToken": key})
    read = rattler.records(url, tmp_path / "read", auth=auth)
    assert {record["sha256"] for record in read.values()} == sent
    prefix, chosen = rattler.install(url, "link-3", tmp_path / "install", auth=auth)
    assert sorted(record["name"] for record in chosen.values()) == ["link-0", "link-1", "link-2", "link-3"]
    assert (prefix / "share/link-0/hello.txt").read_text(encoding="utf-8") == "hello from link-0 1.0 h0_0\n"
    with pytest.raises(rattler.RattlerError, match="401"):
        rattler.records(url, tmp_path / "stranger")


def test_publishing_again_changes_nothing(server: quetz.Quetz, channel: str, key: str, tmp_path: Path) -> None:
    """A second run over the same files reports each of them as identical, and Quetz keeps what it has."""
    built = make_chain(tmp_path / "dist", 5)
    assert publish(server, channel, key, tmp_path / "dist").returncode == 0
    before = [server.package(channel, f"link-{n}") for n in range(5)]

    done = publish(server, channel, key, tmp_path / "dist")

    assert done.returncode == 0, done.stderr
    assert statuses(done) == {path.name: "identical" for path in built}
    assert [server.package(channel, f"link-{n}") for n in range(5)] == before


def test_other_bytes_under_a_name_that_is_taken_are_a_conflict_and_the_rest_still_goes(
    server: quetz.Quetz, channel: str, key: str, tmp_path: Path
) -> None:
    """The conflict fails alone; `--skip-existing` keeps the old bytes, `--force` puts the new ones there."""
    make_conda(tmp_path / "old", "boat", payload={"share/boat": b"old"})
    assert publish(server, channel, key, tmp_path / "old").returncode == 0
    old = hashes(server, channel, "boat")
    make_conda(tmp_path / "new", "boat", payload={"share/boat": b"new"})
    make_conda(tmp_path / "new", "oars")

    done = publish(server, channel, key, tmp_path / "new")
    assert done.returncode == 1
    assert statuses(done) == {"boat-1.0-h0_0.conda": "failed", "oars-1.0-h0_0.conda": "uploaded"}
    assert [one["error"]["code"] for one in done.json()["channels"][0]["outcomes"] if one["error"]] == ["conflict"]
    assert hashes(server, channel, "boat") == old

    done = publish(server, channel, key, "--skip-existing", tmp_path / "new")
    assert done.returncode == 0
    assert statuses(done) == {"boat-1.0-h0_0.conda": "skipped", "oars-1.0-h0_0.conda": "identical"}
    assert hashes(server, channel, "boat") == old

    done = publish(server, channel, key, "--force", tmp_path / "new")
    assert done.returncode == 0
    assert statuses(done) == {"boat-1.0-h0_0.conda": "replaced", "oars-1.0-h0_0.conda": "identical"}
    new = {one["name"]: one["sha256"] for one in done.json()["channels"][0]["outcomes"]}
    assert hashes(server, channel, "boat") == {"boat-1.0-h0_0.conda": new["boat"]}


def test_a_key_that_quetz_does_not_know_sends_nothing(server: quetz.Quetz, channel: str, tmp_path: Path) -> None:
    """The run ends with the status for credentials, and says which credential that was."""
    make_conda(tmp_path / "dist", "boat")

    done = publish(server, channel, leaks.new_secret("unknown-key"), tmp_path / "dist")

    assert done.returncode == 3
    assert "QUETZ_API_KEY" in done.stdout + done.stderr
    assert server.packages(channel) == []


def test_a_key_without_the_right_to_upload_is_told_so(server: quetz.Quetz, channel: str, tmp_path: Path) -> None:
    """A key that may only read is refused as such, which is no matter of a wrong credential."""
    reader = leaks.watch(server.make_key({"channel": channel, "role": "member"}), "reader-key")
    make_conda(tmp_path / "dist", "boat")

    done = publish(server, channel, reader, tmp_path / "dist")

    assert done.returncode == 1
    assert [one["error"]["code"] for one in done.json()["channels"][0]["outcomes"]] == ["forbidden"]
    assert server.packages(channel) == []


def test_a_channel_that_does_not_exist_is_named(server: quetz.Quetz, key: str, tmp_path: Path) -> None:
    """Quetz answers 500 to an upload there; keelback says which channel is missing."""
    make_conda(tmp_path / "dist", "boat")

    done = publish(server, "no-such-harbour", key, tmp_path / "dist")

    assert done.returncode == 1
    assert "no-such-harbour" in done.stdout + done.stderr


def test_rattler_builds_own_command_line_fills_a_channel(
    server: quetz.Quetz, channel: str, key: str, tmp_path: Path
) -> None:
    """``upload quetz -u -c -a FILES`` means what it means in ``rattler-build upload``."""
    boat = make_conda(tmp_path, "boat")

    done = run_keelback(["upload", "quetz", "-u", server.url, "-c", channel, "-a", key, str(boat)])

    assert done.returncode == 0, done.stderr
    assert list(hashes(server, channel, "boat")) == [boat.name]


def test_the_key_may_come_from_the_auth_file(server: quetz.Quetz, channel: str, key: str, tmp_path: Path) -> None:
    """One entry of ``RATTLER_AUTH_FILE`` serves keelback's upload and py-rattler's read alike."""
    make_conda(tmp_path / "dist", "boat")
    auth = auth_file(tmp_path, {"CondaToken": key})

    done = run_keelback(
        ["publish", "--verify", "--to", f"quetz+{server.url}/{channel}", str(tmp_path / "dist")],
        env={"RATTLER_AUTH_FILE": str(auth)},
    )

    assert done.returncode == 0, done.stderr
    read = rattler.records(f"{server.url}/get/{channel}", tmp_path / "read", auth=auth)
    assert list(read) == ["noarch/boat-1.0-h0_0.conda"]


def test_a_login_is_verified_and_serves_both(server: quetz.Quetz, channel: str, key: str, tmp_path: Path) -> None:
    """A bad key is not stored; a good one is, whatever it may do, and opens the channel to keelback and py-rattler."""
    reader = leaks.watch(server.make_key({"channel": channel, "role": "member"}), "reader-key")
    auth = leaks.holds_secrets(tmp_path / "auth.json")
    url = f"{server.url}/get/{channel}"

    refused = log_in(server, leaks.new_secret("unknown-key"), auth)
    assert refused.returncode == 3
    assert "does not take the conda token: 401" in refused.stderr
    assert not auth.exists()

    make_conda(tmp_path / "dist", "boat")
    assert publish(server, channel, key, "--verify", tmp_path / "dist").returncode == 0
    for number, good in enumerate((key, reader)):
        done = log_in(server, good, auth)
        assert done.returncode == 0, done.stderr
        assert json.loads(auth.read_text(encoding="utf-8")) == {"127.0.0.1": {"CondaToken": good}}
        checked = check(url, auth)
        assert checked.returncode == 0, checked.stdout
        told = checked.json()
        assert (told["read"], told["match"]["kind"], told["findings"]) == (True, "CondaToken", [])
        assert list(rattler.records(url, tmp_path / f"read-{number}", auth=auth)) == ["noarch/boat-1.0-h0_0.conda"]


def test_a_check_tells_a_wrong_key_from_one_for_another_channel(
    server: quetz.Quetz, channel: str, tmp_path: Path
) -> None:
    """Both have the exit status for credentials, as has no key; the words differ, and so does what Quetz answered."""
    server.make_channel(f"{channel}-elsewhere", private=True)
    stranger = leaks.watch(server.make_key({"channel": f"{channel}-elsewhere", "role": "owner"}), "stranger-key")
    verdicts = {
        None: "The channel wants a credential",
        leaks.new_secret("unknown-key"): "The server refuses the",
        stranger: "does not let it read this channel (403)",
    }
    for url in (f"{server.url}/get/{channel}", f"quetz+{server.url}/{channel}"):
        for key, verdict in verdicts.items():
            done = check(url, auth_file(tmp_path, key and {"CondaToken": key}))
            assert done.returncode == 3
            assert done.json()["read"] is False
            assert verdict in done.json()["verdict"]


def log_in(server: quetz.Quetz, key: str, auth: Path) -> Completed:
    """``keelback auth login`` with *key* on standard input; it is kept in the file *auth*."""
    return run_keelback(
        ["auth", "login", f"quetz+{server.url}", "--token", "-"], env={"RATTLER_AUTH_FILE": str(auth)}, input=f"{key}\n"
    )


def check(url: str, auth: Path) -> Completed:
    """``keelback auth check --json`` of *url*, with what the file *auth* has."""
    return run_keelback(["auth", "check", "--json", "--auth-file", str(auth), url])


def auth_file(folder: Path, credential: object) -> Path:
    """An auth file with *credential* for loopback; without one it is empty."""
    path = folder / "auth.json"
    path.write_text(json.dumps({"127.0.0.1": credential} if credential else {}), encoding="utf-8")
    return leaks.holds_secrets(path)
