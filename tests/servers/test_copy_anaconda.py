"""Copies that anaconda.org makes itself: no byte of a package leaves it, and what it says of a copy is looked at."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback import KeelbackError, Problem, Report
from keelback.copying import copy
from making import make_conda
from servers.fetch_runs import QUICK, statuses
from servers.scripted import AnacondaServer, Answer, Exchange, Fault, Shelf, Stored
from servers.scripted.engine import route
from servers.scripted.exchange import json_answer
from servers.scripted.shelf import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HULL = "hull-1.0-h0_0.conda"
PATH = f"noarch/{HULL}"
READ = r"/other(?:/label/(?P<label>[^/]+))?/(?P<subdir>(?!label/)[^/]+)/(?P<filename>(?:shards/)?[^/]+)"


class CopyingServer(AnacondaServer):
    """An anaconda.org with a second owner, called ``other``, whose packages everybody may read.

    Attributes:
        theirs: what that owner has.
        lies: whether it says that it has copied what it has not.
        refuses: a status with which it refuses to copy, or ``None``.
        after_reading: is called when the index has been read, before anything is said of a file.
    """

    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.theirs = Shelf()
        self.lies = False
        self.refuses: int | None = None
        self.after_reading: Callable[[], None] = lambda: None

    def arrived(self, exchange: Exchange) -> None:
        """Whoever asks for a file has read the index."""
        super().arrived(exchange)
        if exchange.path.startswith("/dist/"):
            self.after_reading()

    @property
    def theirs_url(self) -> str:
        """The channel of the second owner."""
        return f"anaconda+{self.url}/other"

    @route("GET HEAD", READ, step="theirs")
    def read_theirs(self, exchange: Exchange, label: str, subdir: str, filename: str) -> Answer:
        """A file of the second owner's channel."""
        ours, self.shelf = self.shelf, self.theirs
        try:
            return self.read(exchange, subdir, filename, label or "main")
        finally:
            self.shelf = ours

    @route("POST PUT", r"/copy/package/other/(?P<name>[^/]+)/(?P<version>[^/]+)/(?P<path>.+)", step="copy")
    def copy(self, exchange: Exchange, name: str, version: str, path: str) -> Answer:
        """Copy a file of the second owner."""
        self.expect(exchange, path.rpartition("/")[2].startswith(f"{name}-{version}-"), "it is of another release")
        self._check_api(exchange)
        return self._api(exchange, self._copy, self.channel, path)

    def _copy(self, exchange: Exchange, sent: dict[str, Any], path: str) -> Answer:
        if self.refuses is not None:
            return self.refusal(self.refuses, "I do not copy")
        self.expect(exchange, sent.keys() == {"to_owner", "from_channel", "to_channel"}, "the places are not those")
        self.expect(exchange, sent["to_owner"] == self.channel, "it is to go to somebody else")
        replaces = exchange.recorded.method == "PUT"
        if path in self.files and not replaces:
            return self.refusal(409, "Conflict")
        if not self.lies:
            stored = self.put(path, self.theirs.files[path].content or b"")
            stored.labels = {sent["to_channel"]}
        return json_answer(200, [{"basename": path}])


@pytest.fixture
def server(token: str) -> Iterator[CopyingServer]:
    """One anaconda.org for both sides."""
    with CopyingServer(token) as running:
        yield running


@pytest.fixture
def hull(tmp_path: Path) -> bytes:
    """A package."""
    return make_conda(tmp_path / "dist", "hull").read_bytes()


def have(server: CopyingServer, content: bytes) -> None:
    """Give *content* to the second owner."""
    server.theirs.place(PATH, Body.receive([content]), overwrite=True)


def ours(server: CopyingServer, content: bytes, *labels: str) -> Stored:
    """Have *content* under *labels* of the first owner."""
    stored = server.put(PATH, content)
    stored.labels = set(labels)
    return stored


def attempt(server: CopyingServer, token: str, source: str, to: str, workdir: Path, **options: Any) -> Report:
    """The report of a copy within the server."""
    try:
        return copy(
            source, to, subdirs="noarch", cache=workdir / "cache", retry=QUICK, timeout=10.0, api_key=token, **options
        )
    except KeelbackError as error:
        return Report(error=Problem.of(error))


def bytes_moved(server: CopyingServer) -> list[str]:
    """The requests that moved a package in or out."""
    return [request.step for request in server.requests if request.filename == HULL and request.step != "dist"]


def test_from_label_to_label_a_label_is_added(server: CopyingServer, token: str, hull: bytes, tmp_path: Path) -> None:
    """The file stays where it is, under both labels; for exactly this file. The second time it is identical."""
    stored = ours(server, hull, "dev")
    dev, main = f"{server.publish_url}/label/dev", server.publish_url
    first = attempt(server, token, dev, main, tmp_path)
    again = attempt(server, token, dev, main, tmp_path)
    assert (statuses(first), statuses(again)) == ({HULL: "uploaded"}, {HULL: "identical"})
    assert (stored.labels, stored.times_stored) == ({"dev", "main"}, 1)
    assert len(server.of_step("label")) == 1
    assert bytes_moved(server) == []
    server.assert_clean()


@pytest.mark.parametrize("now", ["replaced", "deleted"])
def test_a_file_that_changed_since_the_index_was_read_gets_no_label(
    now: str, server: CopyingServer, token: str, hull: bytes, tmp_path: Path
) -> None:
    """Nor with --force: what is released is what the index named when the copy began."""
    ours(server, hull, "dev")
    other = make_conda(tmp_path / "other", "hull", payload={"other": b""}).read_bytes()

    def change() -> None:
        if now == "deleted":
            server.files.pop(PATH, None)
        else:
            ours(server, other, "dev")

    server.after_reading = change
    report = attempt(server, token, f"{server.publish_url}/label/dev", server.publish_url, tmp_path, force=True)
    (outcome,) = report.outcomes
    assert outcome.error is not None
    assert outcome.error.code == "source-changed"
    assert server.of_step("label") == []
    assert now == "deleted" or server.files[PATH].labels == {"dev"}


def test_from_owner_to_owner_the_server_copies(server: CopyingServer, token: str, hull: bytes, tmp_path: Path) -> None:
    """Under the label that is wanted, and no byte is read or sent here."""
    have(server, hull)
    report = attempt(server, token, server.theirs_url, f"{server.publish_url}/label/rc", tmp_path)
    assert statuses(report) == {HULL: "uploaded"}
    assert server.files[PATH].sha256 == hashlib.sha256(hull).hexdigest()
    assert server.files[PATH].labels == {"rc"}
    assert server.steps().count("copy") == 1
    assert {"upload", "stage"}.isdisjoint(server.steps())
    assert not any(request.path.endswith(HULL) for request in server.of_step("theirs"))
    server.assert_clean()


def test_a_dry_run_of_a_copy_asks_for_none(server: CopyingServer, token: str, hull: bytes, tmp_path: Path) -> None:
    """From label to label as well."""
    stored = ours(server, hull, "dev")
    report = attempt(server, token, f"{server.publish_url}/label/dev", server.publish_url, tmp_path, dry_run=True)
    assert statuses(report) == {HULL: "uploaded"}
    assert stored.labels == {"dev"}


@pytest.mark.parametrize(
    ("options", "status"), [({}, "failed"), ({"skip_existing": True}, "skipped"), ({"force": True}, "replaced")]
)
def test_other_bytes_of_the_other_owner(
    options: dict[str, bool], status: str, server: CopyingServer, token: str, hull: bytes, tmp_path: Path
) -> None:
    """A conflict as ever; with --force the server is told to replace them."""
    have(server, hull)
    ours(server, make_conda(tmp_path / "other", "hull", payload={"other": b""}).read_bytes(), "main")
    report = attempt(server, token, server.theirs_url, server.publish_url, tmp_path, **options)
    assert statuses(report) == {HULL: status}
    assert [request.method for request in server.of_step("copy")] == (["PUT"] if status == "replaced" else [])


@pytest.mark.parametrize("refusal", [403, 404, 500])
def test_a_server_that_cannot_copy_gets_the_bytes(
    refusal: int, server: CopyingServer, token: str, hull: bytes, tmp_path: Path
) -> None:
    """As any other server does."""
    have(server, hull)
    server.refuses = refusal
    report = attempt(server, token, server.theirs_url, server.publish_url, tmp_path)
    assert statuses(report) == {HULL: "uploaded"}
    assert server.files[PATH].sha256 == hashlib.sha256(hull).hexdigest()
    assert "upload" in server.steps()
    server.assert_clean()


def test_what_the_server_says_of_a_copy_is_looked_at(
    server: CopyingServer, token: str, hull: bytes, tmp_path: Path
) -> None:
    """A copy that is not there is a failure, whatever its status was."""
    have(server, hull)
    server.lies = True
    report = attempt(server, token, server.theirs_url, server.publish_url, tmp_path)
    (outcome,) = report.outcomes
    assert outcome.error is not None
    assert "has not those bytes there" in outcome.error.message


def test_a_copy_whose_answer_was_lost_is_recognised(
    server: CopyingServer, token: str, hull: bytes, tmp_path: Path
) -> None:
    """The second attempt meets a conflict, and it is our own copy."""
    have(server, hull)
    server.plan(Fault("lost-answer", when="copy"))
    report = attempt(server, token, server.theirs_url, server.publish_url, tmp_path)
    assert statuses(report) == {HULL: "uploaded"}
    assert server.steps().count("copy") == 2


def test_another_server_does_not_copy(server: CopyingServer, token: str, hull: bytes, tmp_path: Path) -> None:
    """Only within one."""
    have(server, hull)
    own = leaks.new_secret("own")
    with AnacondaServer(own) as far:
        report = attempt(server, own, server.theirs_url, far.publish_url, tmp_path)
    assert statuses(report) == {HULL: "uploaded"}
    assert "copy" not in [*server.steps(), *far.steps()]
    far.assert_clean()
