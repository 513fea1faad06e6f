"""Downloads: what gets its name is what was promised, however it came."""

from __future__ import annotations

import hashlib
import os
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import trustme

import leaks
from keelback.credentials.kinds import BearerToken
from keelback.errors import ChannelError, Interrupted, TransportError
from keelback.secret import Secret
from keelback.transport import Answer, Client, Downloaded, Expected, Request, Retry, download, unchanged
from making import incompressible
from servers.scripted import Fault, Trap
from servers.scripted.downloads import (
    DownloadServer,
    as_a_whole,
    chunked,
    ends_after,
    ends_at_the_end,
    never_ends,
    stalls_after,
    waits_after,
    with_body,
    with_headers,
    with_status,
    zipped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "demo-1.0-0.conda"
SMALL = incompressible(300_000)
KEPT = incompressible(3 << 20)
"""Enough for its beginning to be kept from one run to the next."""
LARGE = incompressible(20 << 20)
"""Enough to be read in another way than the rest."""
HALF = len(KEPT) // 2
ONCE = Retry(attempts=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where downloads go."""
    (tmp_path / "pkgs").mkdir()
    return tmp_path / "pkgs"


@pytest.fixture
def to(folder: Path) -> Path:
    """The file."""
    return folder / NAME


@pytest.fixture
def client() -> Iterator[Client]:
    """Tries three times."""
    with Client(retry=Retry(attempts=3, base=0.001), timeout=10.0) as client:
        yield client


def known(content: bytes) -> Expected:
    """What an index says of *content*."""
    return Expected(len(content), hashlib.sha256(content).hexdigest())


def fetch(client: Client, server: DownloadServer, to: Path, expected: Expected, **options) -> Downloaded | Answer:
    """A download that is checked to have told the truth of its progress."""
    told: list[int] = []
    result = download(
        client, Request("GET", f"{server.url}/{NAME}", **options), to, expected=expected, told=told.append
    )
    assert all(told)
    assert sum(told) == (result.size if isinstance(result, Downloaded) else 0)
    return result


def files(folder: Path) -> list[str]:
    """What there is, with whatever a download may have left."""
    return sorted(path.name for path in folder.iterdir())


def broken_off(server: DownloadServer, to: Path, content: bytes = KEPT, count: int = HALF) -> Path:
    """What is left of a download of an earlier process that ended after *count* bytes."""
    server.tricks = [ends_after(count)]
    with Client(retry=ONCE) as client, pytest.raises(TransportError):
        download(client, Request("GET", f"{server.url}/{NAME}"), to, expected=known(content))
    (part,) = to.parent.glob("*.part")
    assert part.stat().st_size == count
    return part


# --- what comes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"x", SMALL, KEPT, LARGE], ids=len)
@pytest.mark.parametrize("how", [None, chunked, zipped])
@pytest.mark.parametrize("what", ["all", "sha256", "md5", "size", "nothing"])
def test_what_comes_gets_its_name(client: Client, folder: Path, to: Path, content: bytes, how, what: str) -> None:
    """However it is sent, and whatever is known of it beforehand: the file is there, and nothing else is."""
    size, sha256, md5 = (
        len(content),
        hashlib.sha256(content).hexdigest(),
        hashlib.md5(content, usedforsecurity=False).hexdigest(),
    )
    expected = {
        "all": Expected(size, sha256.upper(), md5),
        "sha256": Expected(sha256=sha256, md5="not looked at"),
        "md5": Expected(size, md5=md5),
        "size": Expected(size),
        "nothing": Expected(),
    }
    with DownloadServer({NAME: content}, how) as server:
        result = fetch(client, server, to, expected[what])
    assert result == Downloaded(attempts=1, size=size, sha256=sha256)
    assert to.read_bytes() == content
    assert files(folder) == [NAME]
    assert server.requests[0].all("accept-encoding") == ["identity"]
    server.assert_clean()


def test_it_takes_the_place_of_what_was_there(client: Client, to: Path) -> None:
    """A file that is not the right one is replaced."""
    to.write_bytes(b"another")
    with DownloadServer({NAME: SMALL}) as server:
        fetch(client, server, to, known(SMALL))
    assert to.read_bytes() == SMALL


@pytest.mark.parametrize("status", [204, 304, 400, 401, 403, 404, 410])
def test_an_answer_that_is_not_the_file_is_the_callers(client: Client, folder: Path, to: Path, status: int) -> None:
    """A refusal is given back as it came, for whoever knows the channel to explain it."""
    with DownloadServer({NAME: SMALL}, with_status(status)) as server:
        answer = fetch(client, server, to, known(SMALL))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.attempts) == (status, 1)
    assert status in (204, 304) or answer.json() == {"error": f"scripted {status}"}
    assert files(folder) == []


def test_a_temporary_answer_is_tried_again_when_the_server_says(client: Client, to: Path) -> None:
    """500 and 503 cost one more attempt each; ``Retry-After`` is kept to."""
    waits: list[tuple[float, str]] = []
    with DownloadServer({NAME: SMALL}, with_status(503, ("Retry-After", "0")), with_status(500)) as server:
        result = fetch(client, server, to, known(SMALL), retried=lambda seconds, why: waits.append((seconds, why)))
    assert result.attempts == 3
    assert waits[0] == (0.0, "HTTP 503")
    assert waits[1][1] == "HTTP 500"


def test_connections_are_kept(client: Client, folder: Path) -> None:
    """Small files come on one connection, redirected ones too."""
    with DownloadServer({NAME: SMALL}) as server:
        server.tricks = [None, with_status(302, ("Location", f"{server.url}/{NAME}"))]
        for number in range(4):
            fetch(client, server, folder / str(number), known(SMALL))
    assert {request.connection for request in server.requests} == {1}


# --- what breaks off --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [SMALL, KEPT, LARGE], ids=len)
@pytest.mark.parametrize("form", [None, chunked], ids=["length", "chunked"])
@pytest.mark.parametrize("expected", ["all", "size"])
def test_a_transfer_that_broke_off_goes_on_where_it_ended(
    client: Client, folder: Path, to: Path, content: bytes, form, expected: str
) -> None:
    """Only what is missing is asked for, and only of the same version of the file."""
    half = len(content) // 2
    with DownloadServer({NAME: content}, ends_after(half), ends_after(1000), form) as server:
        result = fetch(client, server, to, known(content) if expected == "all" else Expected(len(content)))
    assert to.read_bytes() == content
    assert result.attempts == 3
    assert server.ranges == [None, f"bytes={half}-", f"bytes={half + 1000}-"]
    etag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
    assert [request.header("if-range") for request in server.requests] == [None, etag, etag]
    assert files(folder) == [NAME]


def test_a_stall_is_a_break(folder: Path, to: Path) -> None:
    """The time-out is one for progress, and strikes in the middle of a body, large or small."""
    with (
        DownloadServer({NAME: LARGE}, stalls_after(1 << 20), stalls_after(18 << 20)) as server,
        Client(retry=Retry(attempts=9, base=0.001), timeout=0.5) as client,
    ):
        fetch(client, server, to, known(LARGE))
    assert server.ranges[-1] is not None
    assert len(server.requests) >= 3
    assert to.read_bytes() == LARGE


def test_a_server_that_always_breaks_off_is_a_transport_error(client: Client, folder: Path, to: Path) -> None:
    """After all attempts; of a small file nothing is left."""
    with DownloadServer({NAME: SMALL}, *[ends_after(10)] * 9) as server, pytest.raises(TransportError) as caught:
        fetch(client, server, to, known(SMALL))
    assert caught.value.attempts == 3
    assert files(folder) == []


@pytest.mark.parametrize("content", [KEPT, LARGE], ids=len)
def test_what_an_earlier_process_left_is_gone_on_with(client: Client, folder: Path, to: Path, content: bytes) -> None:
    """By the checksum of the whole file, which says more than any validator of the server's."""
    with DownloadServer({NAME: content}) as server:
        broken_off(server, to, content)
        assert not to.exists()
        result = fetch(client, server, to, known(content))
    assert result == Downloaded(1, len(content), hashlib.sha256(content).hexdigest())
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert to.read_bytes() == content
    assert files(folder) == [NAME]


def test_what_an_earlier_process_left_of_another_file_is_left_alone(client: Client, to: Path) -> None:
    """The index names other bytes now: they are fetched from the start."""
    with DownloadServer({NAME: KEPT}) as server:
        broken_off(server, to)
        server.files[NAME] = LARGE
        fetch(client, server, to, known(LARGE))
    assert server.ranges == [None, None]
    assert to.read_bytes() == LARGE


def test_what_an_earlier_process_left_may_be_all_of_it(client: Client, folder: Path, to: Path) -> None:
    """Then nothing is asked for."""
    with DownloadServer({NAME: KEPT}, ends_at_the_end) as server:
        with Client(retry=ONCE) as other, pytest.raises(TransportError):
            download(other, Request("GET", f"{server.url}/{NAME}"), to, expected=known(KEPT))
        result = fetch(client, server, to, known(KEPT))
    assert (result.attempts, len(server.requests)) == (0, 1)
    assert files(folder) == [NAME]
    assert to.read_bytes() == KEPT


@pytest.mark.parametrize("left", [b"x" * HALF, b"x" * len(KEPT), b"x" * len(KEPT) + b"x"], ids=["part", "all", "more"])
def test_what_somebody_else_left_does_no_harm(client: Client, folder: Path, to: Path, left: bytes) -> None:
    """Other bytes under that name are found out, and the file is fetched from the start."""
    with DownloadServer({NAME: KEPT}) as server:
        broken_off(server, to).write_bytes(left)
        fetch(client, server, to, known(KEPT))
    assert server.ranges[-1] is None
    assert to.read_bytes() == KEPT
    assert files(folder) == [NAME]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_not_written_to(client: Client, tmp_path: Path, to: Path, kind: str) -> None:
    """A link in a folder that others can write to leads nowhere."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    with DownloadServer({NAME: KEPT}) as server:
        part = broken_off(server, to)
        part.unlink()
        {"link": lambda: part.symlink_to(victim), "pipe": lambda: os.mkfifo(part), "folder": part.mkdir}[kind]()
        fetch(client, server, to, known(KEPT))
    assert victim.read_bytes() == b"precious"
    assert to.read_bytes() == KEPT


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
@pytest.mark.parametrize("how", ["written by others", "another name"])
def test_what_others_can_write_to_is_not_taken_up(
    client: Client, folder: Path, tmp_path: Path, to: Path, how: str
) -> None:
    """They could change the file after it was verified; and what has another name is not ours to cut off."""
    other = tmp_path / "other"
    with DownloadServer({NAME: KEPT}) as server:
        part = broken_off(server, to)
        if how == "another name":
            other.hardlink_to(part)
        else:
            part.chmod(0o666)
        before = part.stat().st_ino
        fetch(client, server, to, known(KEPT))
    assert server.ranges == [None, None]
    assert to.stat().st_ino != before
    assert to.read_bytes() == KEPT
    if other.exists():
        assert other.read_bytes() == KEPT[:HALF]


def test_stopping_keeps_what_has_come(client: Client, folder: Path, to: Path) -> None:
    """A download under way ends at once; the next one goes on with it."""
    with DownloadServer({NAME: LARGE}, stalls_after(1 << 20)) as server:
        request = Request("GET", f"{server.url}/{NAME}")
        with pytest.raises(Interrupted):
            download(client, request, to, expected=known(LARGE), told=lambda _: client.stop())
        (part,) = folder.iterdir()
        with Client() as other:
            fetch(other, server, to, known(LARGE))
    assert part.suffix == ".part"
    assert server.ranges[-1] is not None
    assert to.read_bytes() == LARGE


def test_two_at_once_do_not_meet(client: Client, folder: Path, to: Path) -> None:
    """Each writes to a file of its own, and either of them gives it its name."""
    going, first_told = threading.Event(), threading.Event()
    with DownloadServer({NAME: KEPT}, waits_after(HALF, going)) as server, ThreadPoolExecutor(1) as pool:
        request = Request("GET", f"{server.url}/{NAME}")
        first = pool.submit(download, client, request, to, expected=known(KEPT), told=lambda _: first_told.set())
        assert first_told.wait(30)
        second = fetch(client, server, to, known(KEPT))
        assert to.read_bytes() == KEPT
        going.set()
        assert first.result().sha256 == second.sha256
    assert server.ranges == [None, None]
    assert to.read_bytes() == KEPT
    assert files(folder) == [NAME]


# --- what does not fit ------------------------------------------------------------------------------------------------

BAD_RANGES = {
    "ignored": as_a_whole(KEPT),
    "another start": with_headers(content_range=f"bytes {HALF + 1}-{len(KEPT) - 1}/{len(KEPT)}"),
    "another end": with_headers(content_range=f"bytes {HALF}-{len(KEPT) - 2}/{len(KEPT)}"),
    "another size": with_headers(content_range=f"bytes {HALF}-{len(KEPT)}/{len(KEPT) + 1}"),
    "no place": with_headers(content_range=None),
    "no number": with_headers(content_range=f"bytes {'9' * 5000}-/"),
    "another version": with_headers(etag='"another"'),
    "another length": with_body(KEPT[HALF:-1]),
    "refused": with_status(416),
    "packed": zipped,
}


@pytest.mark.parametrize("trick", BAD_RANGES)
def test_a_range_that_does_not_fit_is_not_used(client: Client, folder: Path, to: Path, trick: str) -> None:
    """What comes is another part than was asked for, or of another file: all of it is fetched again."""
    with DownloadServer({NAME: KEPT}, ends_after(HALF), BAD_RANGES[trick]) as server:
        result = fetch(client, server, to, known(KEPT))
    assert server.ranges == [None, f"bytes={HALF}-", None][: 2 if trick == "ignored" else 3]
    assert result.attempts == len(server.ranges)
    assert to.read_bytes() == KEPT
    assert files(folder) == [NAME]


def test_a_file_that_changes_between_two_ranges_is_fetched_anew(client: Client, to: Path) -> None:
    """Nothing is known of it but its name: still, no two versions are mixed."""
    other = incompressible(len(KEPT), "other")
    with DownloadServer({NAME: other}, None) as server:

        def changes(exchange, answer):
            server.files[NAME] = KEPT
            return ends_after(HALF)(exchange, answer)

        server.tricks = [changes]
        fetch(client, server, to, Expected())
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert to.read_bytes() == KEPT


@pytest.mark.parametrize("etag", ['W/"weak"', "nonsense", '"' + "x" * 5000 + '"', '"\xe9"', None])
@pytest.mark.parametrize("digest", ["known", "unknown"])
def test_what_no_validator_vouches_for_is_gone_on_with_only_if_a_checksum_does(
    client: Client, to: Path, etag: str | None, digest: str
) -> None:
    """A weak or odd ETag is not sent back; without one, the end may be of another version than the beginning."""
    with DownloadServer({NAME: KEPT}, ends_after(HALF, with_headers(etag=etag))) as server:
        fetch(client, server, to, known(KEPT) if digest == "known" else Expected(len(KEPT)))
    assert server.ranges == [None, f"bytes={HALF}-" if digest == "known" else None]
    assert server.requests[1].header("if-range") is None
    assert to.read_bytes() == KEPT


def test_a_date_is_a_validator_too(client: Client, to: Path) -> None:
    """``Last-Modified`` stands in ``If-Range`` where there is no ETag."""
    date = "Sun, 22 Nov 2026 10:00:00 GMT"
    dated = with_headers(etag=None, last_modified=date)
    with DownloadServer({NAME: KEPT}, ends_after(HALF, dated), dated) as server:
        fetch(client, server, to, known(KEPT))
    assert [request.header("if-range") for request in server.requests] == [None, date]


def test_a_packed_body_that_broke_off_starts_over(client: Client, to: Path) -> None:
    """Positions in what was unpacked say nothing of positions in what is sent."""
    with DownloadServer({NAME: KEPT}, ends_after(HALF, zipped)) as server:
        fetch(client, server, to, known(KEPT))
    assert server.ranges == [None, None]
    assert to.read_bytes() == KEPT


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [len(SMALL), len(SMALL) - 1, len(SMALL) + 1])
def test_a_record_that_lies_is_a_bad_download(client: Client, folder: Path, to: Path, size: int) -> None:
    """Of size or checksum: the file is asked for once more, past all caches, and never gets its name."""
    to.write_bytes(b"as it was")
    expected = Expected(size, hashlib.sha256(SMALL + b"x").hexdigest())
    with DownloadServer({NAME: SMALL}) as server, pytest.raises(ChannelError) as caught:
        fetch(client, server, to, expected)
    assert (caught.value.code, caught.value.attempts) == ("bad-download", 2)
    assert "not what the index names" in caught.value.message
    assert [request.header("cache-control") for request in server.requests] == [None, "no-cache"]
    assert to.read_bytes() == b"as it was"
    assert files(folder) == [NAME]


@pytest.mark.parametrize("expected", [Expected(sha256="../../x\x1b[2J" * 99), Expected(3, md5="é")])
def test_a_checksum_that_is_none_matches_nothing(client: Client, folder: Path, to: Path, expected: Expected) -> None:
    """Whatever a hostile index has there, it becomes no part of a file's name, nor of what a terminal shows."""
    with DownloadServer({NAME: b"abc"}) as server, pytest.raises(ChannelError) as caught:
        fetch(client, server, to, expected)
    assert caught.value.code == "bad-download"
    assert caught.value.message.isprintable()
    assert files(folder) == []


def test_one_bad_copy_among_good_ones_is_no_failure(client: Client, to: Path) -> None:
    """A cache that had something else is gone past."""
    with DownloadServer({NAME: SMALL}, with_body(SMALL[:-1] + b"x")) as server:
        assert fetch(client, server, to, known(SMALL)).attempts == 2
    assert to.read_bytes() == SMALL


def test_a_range_of_other_bytes_is_found_out(client: Client, to: Path) -> None:
    """Beginning and end do not belong together: all of it is fetched again."""
    with DownloadServer({NAME: KEPT}, ends_after(HALF), with_body(KEPT[:HALF])) as server:
        fetch(client, server, to, known(KEPT))
    assert server.ranges == [None, f"bytes={HALF}-", None]
    assert to.read_bytes() == KEPT


def test_a_server_that_never_ends_is_left(client: Client, folder: Path, to: Path) -> None:
    """One byte more than was announced by the index is enough."""
    told: list[int] = []
    with DownloadServer({NAME: SMALL}, never_ends, never_ends) as server:
        request = Request("GET", f"{server.url}/{NAME}")
        with pytest.raises(ChannelError) as caught:
            download(client, request, to, expected=known(SMALL), told=told.append)
    assert caught.value.code == "bad-download"
    assert f"more than {len(SMALL)} bytes" in caught.value.message
    assert sum(count for count in told if count > 0) == 2 * (len(SMALL) + 1)
    assert files(folder) == []


def test_a_part_that_nobody_asked_for_is_no_file(client: Client, folder: Path, to: Path) -> None:
    """206 to a request without a range."""
    with DownloadServer({NAME: SMALL}, *[with_status(206)] * 2) as server, pytest.raises(ChannelError) as caught:
        fetch(client, server, to, known(SMALL))
    assert caught.value.code == "bad-download"
    assert files(folder) == []


def test_a_page_instead_of_the_file_is_called_one(client: Client, to: Path) -> None:
    """A log-in page with status 200 is the usual reason for other bytes."""
    page = with_body(b"<html>", ("Content-Type", "text/html"))
    with DownloadServer({NAME: SMALL}, page, page) as server, pytest.raises(ChannelError) as caught:
        fetch(client, server, to, known(SMALL))
    assert "web page" in caught.value.hint


@pytest.mark.parametrize("where", ["missing/x.conda", "folder", "n" * 300])
def test_a_place_that_cannot_be_written_is_said(client: Client, tmp_path: Path, where: str) -> None:
    """With the system's reason."""
    (tmp_path / "folder").mkdir()
    with DownloadServer({NAME: SMALL}) as server, pytest.raises(ChannelError) as caught:
        fetch(client, server, tmp_path / where, known(SMALL))
    assert caught.value.code == "disk"
    assert files(tmp_path) == ["folder"]


# --- where it goes ----------------------------------------------------------------------------------------------------


def test_the_credential_goes_to_the_first_origin_only(client: Client, token: str, to: Path) -> None:
    """A storage host is asked for the file, and for the rest of it, by somebody unknown who comes from nowhere."""
    auth = BearerToken(Secret(token))
    with DownloadServer({NAME: KEPT}, ends_after(HALF)) as storage, DownloadServer({}) as server:
        there = with_status(302, ("Location", f"{storage.url}/{NAME}"))
        server.tricks = [with_status(301, ("Location", f"/{NAME}")), there, there]
        fetch(client, server, to, known(KEPT), auth=auth, headers={"x-api-key": token})
    assert to.read_bytes() == KEPT
    assert [request.header("authorization") for request in server.requests] == [f"Bearer {token}"] * 3
    assert storage.ranges == [None, f"bytes={HALF}-"]
    for request in [*server.requests, *storage.requests]:
        assert request.header("referer") is None
        assert request.header("accept-encoding") == "identity"
    leaks.check(repr([request.headers for request in storage.requests]), "what the storage host was sent")


@pytest.mark.parametrize(("target", "kept"), [("/a/x", True), ("/a/deep/x", True), ("/b/x", False), ("/ab/x", False)])
def test_a_credential_for_a_path_stays_in_it(client: Client, token: str, to: Path, target: str, *, kept: bool) -> None:
    """Where a host has a credential for each channel, a redirect of one of them does not carry it to another."""
    auth = BearerToken(Secret(token))
    with DownloadServer({"a/first": SMALL, target[1:]: SMALL}, with_status(302, ("Location", target))) as server:
        request = Request("GET", f"{server.url}/a/first", auth=auth, scope="/a/")
        download(client, request, to, expected=known(SMALL))
    assert [request.header("authorization") is not None for request in server.requests] == [True, kept]


def test_what_a_storage_host_refuses_is_told_as_its_word(client: Client, token: str, to: Path) -> None:
    """Not as a word of the server whose credential was taken: the answer says where it came from."""
    with DownloadServer({}, with_status(403)) as storage, DownloadServer({}) as server:
        server.tricks = [with_status(302, ("Location", f"{storage.url}/{NAME}?signature=expired"))]
        answer = fetch(client, server, to, known(SMALL), auth=BearerToken(Secret(token)))
    assert isinstance(answer, Answer)
    assert answer.url == f"{storage.url}/"


def test_over_tls_and_never_out_of_it(token: str, to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file comes over TLS, and goes on after a break; no redirect leads to plain HTTP."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "bundle.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    with (
        Trap() as trap,
        DownloadServer({NAME: LARGE}, ends_after(18 << 20), tls=context) as server,
        Client(retry=Retry(attempts=3, base=0.001)) as client,
    ):
        fetch(client, server, to, known(LARGE), auth=BearerToken(Secret(token)))
        assert server.ranges == [None, f"bytes={18 << 20}-"]
        assert to.read_bytes() == LARGE
        server.tricks = [with_status(302, ("Location", f"{trap.url}/{NAME}"))]
        with pytest.raises(TransportError, match="refused"):
            fetch(client, server, to, known(LARGE), auth=BearerToken(Secret(token)))
    assert trap.requests == []


def test_redirects_end(client: Client, to: Path) -> None:
    """A server that redirects for ever is left."""
    with DownloadServer({NAME: SMALL}) as server:
        server.plan(Fault("redirect", when="get", status=302, to=server.url, times=None))
        with pytest.raises(TransportError, match="redirects too often"):
            fetch(client, server, to, known(SMALL))


# --- what is there already --------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_known_by_size_and_checksum(tmp_path: Path) -> None:
    """Nothing less will do, and what cannot be read is not there."""
    path = tmp_path / NAME
    path.write_bytes(SMALL)
    right = known(SMALL)
    assert unchanged(path, right)
    assert unchanged(path, Expected(sha256=right.sha256.upper()))
    assert unchanged(path, Expected(md5=hashlib.md5(SMALL, usedforsecurity=False).hexdigest()))
    assert not unchanged(path, Expected(len(SMALL)))
    assert not unchanged(path, Expected(len(SMALL) + 1, right.sha256))
    assert not unchanged(path, Expected(len(SMALL), hashlib.sha256(b"x").hexdigest()))
    assert not unchanged(tmp_path / "missing", right)
    assert not unchanged(tmp_path, right)
