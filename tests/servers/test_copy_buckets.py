"""``copy`` and ``index`` where a side is a bucket: what was removed and patched, and where each bucket is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import keelback
import leaks
from in_process import run_here
from keelback.channels.session import BucketOptions
from keelback.copying import copy
from keelback.errors import ChannelError, ExitStatus, UsageError
from keelback.fetching import fetch
from keelback.indexing import index
from keelback.report import Reporter
from making import make_conda
from reading_channels import records
from servers.fetch_runs import QUICK, auth_file, statuses
from servers.scripted import QuetzServer
from servers.scripted.s3 import S3Server
from servers.test_copy import BOAT, HULL, attempt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keelback.report import Report

KEY_ID = "AKWRITER"
PATCH = {"packages.conda": {BOAT: {"depends": ["hull >=1"]}}, "revoke": [HULL]}


class Place:
    """A channel in a bucket of one server, for one test."""

    def __init__(self, server: S3Server, secret: str, folder: Path) -> None:
        self.server = server
        self.secret = secret
        self.folder = folder
        self.prefix = folder.name
        self.url = f"s3://packages/{self.prefix}"
        self.full_url = f"s3+{server.url}/packages/{self.prefix}"

    @property
    def env(self) -> dict[str, str]:
        """The variables of a run, without those of an endpoint."""
        return {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": "us-east-1"}

    def run(self, *arguments: Any, endpoint: bool = True, status: int = 0) -> Any:
        """The command."""
        where = {"S3_ENDPOINT_URL": self.server.url, "S3_ADDRESSING_STYLE": "path"} if endpoint else {}
        done = run_here([*arguments], env={**self.env, **where}, home=self.folder)
        assert done.returncode == status, done.stderr
        return done

    def records(self) -> dict[str, Any]:
        """What the index says of noarch."""
        document = json.loads(self.server.objects[f"{self.prefix}/noarch/repodata.json"].content)
        return {**document["packages"], **document["packages.conda"]}

    def keys(self) -> list[str]:
        """Everything below the channel."""
        return [key for key in self.server.objects if key.startswith(f"{self.prefix}/")]


@pytest.fixture(scope="module")
def secret() -> str:
    """What the server knows."""
    return leaks.new_secret("s3")


@pytest.fixture(scope="module")
def server(secret: str) -> Iterator[S3Server]:
    """One bucket."""
    with S3Server({KEY_ID: secret}) as running:
        yield running
    running.assert_clean()


@pytest.fixture
def place(server: S3Server, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A channel that is not there yet; this process has the keys for it."""
    found = Place(server, secret, tmp_path)
    for name, value in found.env.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def hull(tmp_path: Path) -> Path:
    """A package."""
    return make_conda(tmp_path / "dist", "hull")


@pytest.fixture
def boat(tmp_path: Path) -> Path:
    """Another."""
    return make_conda(tmp_path / "dist", "boat", depends=["hull"])


@pytest.fixture
def patched(tmp_path: Path, hull: Path, boat: Path) -> Path:
    """A folder with both, in which one is patched, and the other revoked."""
    folder = tmp_path / "patched"
    keelback.publish([hull, boat], folder)
    patch = tmp_path / "noarch" / "patch_instructions.json"
    patch.parent.mkdir()
    patch.write_text(json.dumps(PATCH), encoding="utf-8")
    index(folder, patches=patch)
    assert records(folder)[BOAT]["depends"] == ["hull >=1"]
    return folder


# --- what is said -----------------------------------------------------------------------------------------------------


def test_each_bucket_is_told_once_with_where_it_is(place: Place, hull: Path) -> None:
    """Two of one name, at two services, are two."""
    place.run("publish", "--to", place.url, hull)
    done = place.run("copy", "-v", place.url, f"{place.full_url}/release")
    lines = [line for line in done.stderr.splitlines() if ": keys from" in line]
    assert sorted(line.partition(": keys")[0] for line in lines) == sorted(
        [f"{place.url} at {place.server.url}", f"{place.full_url}/release"]
    )


@pytest.mark.parametrize("command", ["fetch", "copy"])
def test_a_bucket_that_is_missing_is_said_to_be(place: Place, tmp_path: Path, command: str) -> None:
    """It has no index, and nobody need look for one."""
    to = ["--subdir", "noarch", "-o", tmp_path / "to"] if command == "fetch" else [tmp_path / "to"]
    done = place.run(command, "s3://missing/channel", *to, status=1)
    assert "NoSuchBucket" in done.stderr
    assert "has no index" not in done.stderr


# --- what was removed -------------------------------------------------------------------------------------------------


def test_what_is_removed_from_a_bucket_stays_so_until_it_is_restored(place: Place, hull: Path, boat: Path) -> None:
    """Publishing the same bytes again says how to list it; other bytes are listed."""
    place.run("publish", "--to", place.url, hull, boat)
    place.run("index", place.url, "--remove", "hull")
    again = place.run("publish", "--to", place.url, hull, boat)
    assert "2 identical" in again.stdout
    assert again.stderr.count(f"noarch/{HULL}: removed from the index, and not listed again") == 1
    assert f"keelback index {place.url} --restore noarch/{HULL}" in again.stderr
    assert place.records().keys() == {BOAT}
    place.run("index", place.url, "--restore", "hull")
    assert place.records().keys() == {BOAT, HULL}
    place.run("index", place.url, "--remove", "hull")
    place.run("publish", "--to", place.url, "--force", make_conda(place.folder / "new", "hull", payload=99))
    assert place.records().keys() == {BOAT, HULL}


def test_a_file_that_is_gone_from_a_bucket_cannot_be_restored(place: Place, hull: Path, boat: Path) -> None:
    """The error says what brings it back; publishing it does."""
    place.run("publish", "--to", place.url, hull, boat)
    place.run("index", place.url, "--remove", "hull", "--delete-files")
    error = place.run("index", place.url, "--restore", "hull", "--json", status=1).json()["error"]
    assert (error["code"], error["hint"]) == ("no-such-package", "Publish it again.")
    place.run("publish", "--to", place.url, hull)
    assert place.records().keys() == {BOAT, HULL}


@pytest.mark.parametrize("option", [[], ["--dry-run"]])
def test_indexing_where_nothing_is_makes_no_channel(place: Place, option: list[str]) -> None:
    """A slip in a URL writes nothing, not even the object with which conditions are tried."""
    done = place.run("index", place.url, *option, status=ExitStatus.USAGE)
    assert f"there is no channel at {place.url}" in done.stderr
    assert place.keys() == []


# --- patches ----------------------------------------------------------------------------------------------------------


def test_patches_go_along_from_folder_to_bucket_to_folder(place: Place, patched: Path) -> None:
    """As patches: what the packages say is kept beside them, so that they can be taken back at each place."""
    back = place.folder / "back"
    place.run("copy", patched, place.url)
    place.run("copy", place.url, back)
    assert place.records() == records(back) == records(patched)
    assert records(back)[HULL]["revoked"] is True
    index(back, restore="hull")
    kept = json.loads((back / "noarch" / "repodata_from_packages.json").read_bytes())["packages.conda"]
    assert (kept[BOAT]["depends"], "revoked" in kept[HULL]) == (["hull"], False)


def test_copying_again_does_not_patch_what_is_there(place: Place, patched: Path, hull: Path, boat: Path) -> None:
    """Whoever runs the target may have other patches, or none, for what it has."""
    target = place.folder / "target"
    keelback.publish(boat, target)
    report = copy(patched, target, cache=place.folder / "cache")
    assert statuses(report) == {BOAT: "identical", HULL: "uploaded"}
    assert records(target)[BOAT]["depends"] == ["hull"]
    assert records(target)[HULL]["revoked"] is True
    assert hull.name == HULL


def test_a_server_gets_what_the_packages_say_and_that_is_told(patched: Path, token: str, tmp_path: Path) -> None:
    """It makes its index itself."""
    notes: list[str] = []

    class Listening(Reporter):
        def note(self, text: str) -> None:
            notes.append(text)

    with QuetzServer(token) as target:
        report = attempt(patched, target.publish_url, workdir=tmp_path, api_key=token, reporter=Listening())
    assert report.ok
    assert [note for note in notes if "patched" in note] == [
        f"2 of the records are patched in {patched.as_uri()}: {target.channel_url} gets what the packages say"
    ]


# --- where each bucket is ---------------------------------------------------------------------------------------------


def test_an_endpoint_in_a_url_goes_before_the_one_that_is_given(place: Place, hull: Path) -> None:
    """So two services can be named: one by its URL, the other by the option."""
    place.run("publish", "--to", place.url, hull)
    with S3Server({KEY_ID: place.secret}) as other:
        to = f"s3+{other.url}/packages/there"
        options = ["--endpoint-url", place.server.url, "--addressing-style", "path"]
        refused = place.run("copy", place.url, to, *options, endpoint=False, status=ExitStatus.USAGE)
        assert f"would go to {place.server.url} and to {other.url}" in refused.stderr
        assert other.requests == []
        keys = {"S3Credentials": {"access_key_id": KEY_ID, "secret_access_key": place.secret}}
        options += ["--auth-file", str(auth_file(place.folder / "auth.json", {"s3://packages/there": keys}))]
        place.run("copy", place.url, to, *options, endpoint=False)
        assert f"there/noarch/{HULL}" in other.objects
        place.run("copy", to, f"{place.url}-back", *options, endpoint=False)
        other.assert_clean()
    assert f"{place.prefix}-back/noarch/{HULL}" in place.server.objects


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("gs://acme/chan", "s3://acme/chan", "s3+https://HOST/BUCKET/CHANNEL"),
        ("s3+https://one.example/a/b", "s3+https://two.example/a/b", "Leave out --endpoint-url"),
        ("https://conda.anaconda.org/one", "./two", "Leave out --endpoint-url"),
    ],
)
def test_an_endpoint_is_that_of_one_kind_of_service(source: str, target: str, says: str) -> None:
    """Otherwise nobody could tell whose it is; nothing is asked of it."""
    with pytest.raises(UsageError) as caught:
        copy(source, target, buckets=BucketOptions(endpoint_url="https://minio.example"))
    assert says in caught.value.hint


@pytest.mark.parametrize("command", [["copy", "./one", "https://prefix.dev/two"], ["index", "./one"]])
def test_what_is_said_of_buckets_needs_one(command: list[str], tmp_path: Path) -> None:
    """An option that nobody listens to is a mistake."""
    done = run_here([*command, "--region", "eu-west-1"], home=tmp_path)
    assert (done.returncode, "--region is for buckets" in done.stderr) == (ExitStatus.USAGE, True)


# --- what is asked, and what is said ----------------------------------------------------------------------------------


def test_a_whole_bucket_is_asked_for_the_subdirs_that_it_has(place: Place, hull: Path) -> None:
    """And not for each that there could be."""
    place.run("publish", "--to", place.url, hull)
    before = len(place.server.requests)
    place.run("copy", place.url, place.folder / "to", "--dry-run")
    asked = [request.path for request in place.server.requests[before:]]
    assert not [path for path in asked if "win-64" in path]
    assert len(asked) < 12, asked


def by_copy(source: Any, workdir: Path, **options: Any) -> Report:
    """Copy all of it."""
    return copy(source, workdir / "to", cache=workdir / "cache", retry=QUICK, **options)


def by_fetch(source: Any, workdir: Path, **options: Any) -> Report:
    """Fetch all of noarch."""
    return fetch(source, to=workdir / "to", subdirs="noarch", cache=workdir / "cache", retry=QUICK, **options)


@pytest.mark.parametrize("how", [by_copy, by_fetch])
def test_packages_without_an_index_are_said_to_need_one(place: Place, hull: Path, how: Any) -> None:
    """Of a folder and of a bucket, each by the name that a person gave it."""
    folder = hull.parent.parent / "bare"
    make_conda(folder / "noarch", "hull")
    with pytest.raises(ChannelError) as caught:
        how(folder, place.folder)
    assert (caught.value.code, f"Run: keelback index {folder}" in caught.value.hint) == ("no-channel", True)
    place.server.put_object(f"{place.prefix}/noarch/{HULL}", hull.read_bytes())
    buckets = BucketOptions(endpoint_url=place.server.url, region="us-east-1", addressing_style="path")
    with pytest.raises(ChannelError) as caught:
        how(place.url, place.folder, buckets=buckets)
    assert caught.value.message.startswith(f"{place.url} has no index")
    assert f"run: keelback index {place.url}" in caught.value.hint


def test_what_is_not_in_a_bucket_is_told_by_the_name_of_the_bucket(place: Place, hull: Path) -> None:
    """Not by the URL under which its service has it."""
    place.run("publish", "--to", place.url, hull)
    done = place.run("copy", place.url, place.folder / "to", "sail", status=1)
    assert f"nothing matches 'sail' in any subdir of {place.url}" in done.stderr
    assert place.server.url not in done.stderr
