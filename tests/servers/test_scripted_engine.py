"""The scripted servers keep account, object to what their protocol does not allow, and misbehave as told.

What they are good for is proved here with clients that know nothing of keelback: http.client and raw sockets.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import trustme
import zstandard

import leaks
from making import make_conda
from servers.scripted import (
    KINDS,
    AnacondaServer,
    ArtifactoryServer,
    Fault,
    PrefixServer,
    QuetzServer,
    ScriptedServer,
    Trap,
)

NAME = "demo-1.0-h0_0.conda"
PATH = f"noarch/{NAME}"
TIMEOUT = 10


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a package."""
    return make_conda(tmp_path_factory.mktemp("packages")).read_bytes()


@pytest.fixture(scope="module")
def other_content(tmp_path_factory):
    """Other bytes of a package with the same name."""
    return make_conda(tmp_path_factory.mktemp("packages"), payload={"other": b"x"}).read_bytes()


@pytest.fixture(scope="module")
def secret():
    """What the servers expect."""
    return leaks.new_secret("server")


class Client:
    """One keep-alive connection that sends what it is told."""

    def __init__(self, server):
        self._connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=TIMEOUT)

    def send(self, method, target, body=None, headers=None, *, chunked=False):
        """The answer, with its body in ``content``."""
        if chunked:
            body = iter([body[:10], body[10:]])
        self._connection.request(method, target, body, headers or {}, encode_chunked=chunked)
        answer = self._connection.getresponse()
        answer.content = answer.read()
        return answer

    def json(self, *args, **options):
        """The answer's status and JSON."""
        answer = self.send(*args, **options)
        return answer.status, json.loads(answer.content)

    def close(self):
        """Close the connection."""
        self._connection.close()


@pytest.fixture
def connect():
    """Makes clients, and closes them."""
    clients = []

    def make(server):
        clients.append(Client(server))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def sha256(content):
    """The SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def dial(server):
    """A raw connection."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)


def raw_post(server, length=0):
    """The head of an upload to Quetz that lacks everything else."""
    head = f"POST /api/channels/chan/upload/{NAME} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode()


# Quetz: the simplest upload, and so the one on which the engine itself is proved.


def quetz_upload(client, key, content, *, force=False, digest=None, headers=None, channel="chan", name=NAME):
    """Upload to Quetz."""
    query = f"?sha256={digest or sha256(content)}" + ("&force=true" if force else "")
    headers = {"X-API-Key": key, **(headers or {})}
    return client.send("POST", f"/api/channels/{channel}/upload/{name}{query}", content, headers, chunked=True)


def test_everything_sent_is_on_record(connect, secret, content):
    """Method, target, headers in order and spelling, body with size and checksum, connection, answer."""
    with QuetzServer(secret) as server:
        client = connect(server)
        assert quetz_upload(client, secret, content, headers={"X-Odd-Case": "1"}).status == 201
        quetz_upload(client, secret, content)
        quetz_upload(connect(server), secret, content)
    first = server.requests[0]
    assert (first.method, first.step, first.filename, first.status) == ("POST", "upload", NAME, 201)
    assert first.target == f"/api/channels/chan/upload/{NAME}?sha256={sha256(content)}"
    assert (first.body, first.body_size, first.body_sha256, first.complete) == (
        content,
        len(content),
        sha256(content),
        True,
    )
    assert [name for name, _ in first.headers][-2:] == ["X-API-Key", "X-Odd-Case"]
    assert [request.connection for request in server.requests] == [1, 1, 2]
    assert (server.connections, server.steps()) == (2, ["upload"] * 3)
    assert secret not in repr(server.requests)
    server.assert_clean()


def test_quetz_answers_as_quetz_does(connect, secret, content, other_content):
    """Status and detail of each outcome of an upload."""
    reader = leaks.new_secret("reader")
    with QuetzServer(secret, reader=reader) as server:
        client = connect(server)

        def outcome(*args, **options):
            answer = quetz_upload(client, *args, **options)
            return answer.status, answer.content

        assert outcome("wrong", content) == (401, b'{"detail": "Not logged in"}')
        assert outcome(reader, content) == (403, b'{"detail": "No permission"}')
        assert outcome(secret, content, digest="0" * 64) == (406, b'{"detail": "Wrong SHA256 checksum"}')
        assert outcome(secret, content, channel="nowhere") == (500, b"Internal Server Error")
        assert outcome(secret, content, name="other-1.0-0.conda") == (500, b"Internal Server Error")
        assert outcome(secret, b"no package at all") == (500, b"Internal Server Error")
        assert client.send("POST", f"/t/{secret}/api/channels/chan/upload/{NAME}", b"").status == 422
        server.protocol_errors.clear()
        assert outcome(secret, content) == (201, b"null")
        assert outcome(secret, content) == (409, b'{"detail": "Duplicate"}')
        assert outcome(secret, other_content, force=True) == (201, b"null")
        assert (server.files[PATH].sha256, server.files[PATH].times_stored) == (sha256(other_content), 2)
        server.assert_clean()


def test_quetz_tells_what_it_has(connect, secret, content):
    """The channel, a version with its checksums, plain repodata only; all of it private."""
    with QuetzServer(secret) as server:
        server.put(PATH, content)
        client = connect(server)
        key = {"X-API-Key": secret}
        version = f"/api/channels/chan/packages/demo/versions/{PATH}"
        assert client.json("GET", version, headers=key)[1]["info"]["sha256"] == sha256(content)
        assert client.send("GET", version.replace("1.0", "2.0"), headers=key).status == 404
        assert client.json("GET", "/api/channels/chan", headers=key)[1]["packages_count"] == 1
        assert client.send("GET", "/api/channels/other", headers=key).status == 404
        assert client.send("GET", "/api/channels/chan").status == 401
        status, repodata = client.json("GET", f"/t/{secret}/get/chan/noarch/repodata.json")
        assert (status, repodata["packages.conda"][NAME]["sha256"]) == (200, sha256(content))
        assert client.send("HEAD", "/get/chan/noarch/repodata.json.zst", headers=key).status == 404
        assert client.send("GET", f"/get/chan/{PATH}", headers=key).content == content
        server.assert_clean()


def test_what_a_protocol_does_not_allow_is_objected_to(connect, secret, content):
    """A request that a lenient server would have let pass still fails the test that sent it, without a secret."""
    with QuetzServer(secret) as server:
        client = connect(server)
        answer = quetz_upload(client, secret, content, headers={"Authorization": f"Bearer {secret}"})
        assert answer.status == 401
        assert client.send("GET", "/api/nothing").status == 404
        assert (
            client.send("GET", "/api/channels/chan", headers={"X-API-Key": secret, "Host": "elsewhere"}).status == 200
        )
    assert len(server.protocol_errors) == 3
    with pytest.raises(AssertionError, match="the scripted server objects") as caught:
        server.assert_clean()
    assert leaks.find(str(caught.value)) == []


def test_what_is_no_http_is_objected_to(secret):
    """Bytes that are no HTTP/1.1 are on record too."""
    with QuetzServer(secret) as server, dial(server) as sock:
        sock.sendall(b"\x16\x03\x01 what is this\r\n\r\n")
        assert sock.recv(100) == b""
        assert "no HTTP/1.1" in server.protocol_errors[0]


def test_a_client_that_goes_away_is_no_error(secret):
    """A client may break off; what it sent until then is on record as incomplete."""
    with QuetzServer(secret) as server, dial(server) as sock:
        sock.sendall(raw_post(server, length=100) + b"only this")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""
    assert (server.requests[0].complete, server.requests[0].body_size, server.files) == (False, 9, {})


def test_index_shows_new_files_after_as_many_reads_as_told(connect, secret, content):
    """``index_lag`` counts reads; a HEAD is none."""
    with QuetzServer(secret, private=False, index_lag=2) as server:
        client = connect(server)
        quetz_upload(client, secret, content)

        def shown(method="GET"):
            return client.send(method, "/get/chan/noarch/repodata.json").content.count(b"h0_0.conda")

        assert [shown(), shown("HEAD"), shown(), shown(), shown()] == [0, 0, 0, 1, 1]


def test_tls(secret):
    """A server with a certificate speaks HTTPS."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with QuetzServer(secret, private=False, tls=context) as server:
        client = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=TIMEOUT, context=trusting)
        client.request("GET", "/api/channels/chan")
        with client.getresponse() as answer:
            assert answer.status == 200
        client.close()
    assert server.url.startswith("https://")
    server.assert_clean()


# Faults.


def attempt(client, secret, content):
    """The status of an upload, or what went wrong with the connection."""
    try:
        return quetz_upload(client, secret, content).status
    except (OSError, http.client.HTTPException) as error:
        return type(error)


BROKEN = {ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected}


@pytest.mark.parametrize(("kind", "stored"), [("reset", False), ("reset-body", False), ("lost-answer", True)], ids=str)
def test_a_connection_is_broken_at_the_moment_told(connect, secret, content, kind, stored):
    """Before the body, in the middle of it, or after everything was stored; the next request fares well."""
    with QuetzServer(secret, faults=[Fault(kind)]) as server:
        assert attempt(connect(server), secret, content) in BROKEN
        assert (PATH in server.files) == stored
        assert attempt(connect(server), secret, content) == (409 if stored else 201)
        assert [request.fault for request in server.requests] == [kind, None]
        server.assert_clean()


def test_reset_in_the_body_reads_as_much_as_told(connect, secret):
    """``after_bytes`` of the body arrive before the connection breaks."""
    with QuetzServer(secret, faults=[Fault("reset-body", after_bytes=500_000)]) as server:
        assert attempt(connect(server), secret, bytes(4_000_000)) in BROKEN
        assert 500_000 <= server.requests[0].body_size < 4_000_000


def test_a_status_comes_with_the_body_and_headers_told(connect, secret, content):
    """Nothing is stored; Retry-After, other headers, the protocol's own body, HTML, or none."""
    faults = [
        Fault("status", status=503, retry_after=7, headers=(("X-Why", "busy"),)),
        Fault("status", status=500, media="html"),
        Fault("status", status=502, media="empty"),
        Fault("status", status=200, body="<html>Log in here</html>", media="html"),
        Fault("status", status=200, body='{"error": "no"}'),
    ]
    with QuetzServer(secret, faults=faults) as server:
        client = connect(server)
        answers = [quetz_upload(client, secret, content) for _ in faults]
        assert [answer.status for answer in answers] == [503, 500, 502, 200, 200]
        assert (answers[0].headers["Retry-After"], answers[0].headers["X-Why"]) == ("7", "busy")
        assert json.loads(answers[0].content) == {"detail": "scripted 503"}
        assert answers[1].headers["Content-Type"] == "text/html; charset=utf-8"
        assert answers[2].content == b""
        assert answers[3].content == b"<html>Log in here</html>"
        assert answers[4].content == b'{"error": "no"}'
        assert server.files == {}
        server.assert_clean()


def test_a_fault_chooses_its_requests(connect, secret, content):
    """By position, by number, by step, by file, by predicate, once for each file, or always."""
    b_name = "b-1.0-0.conda"

    def statuses(*faults, names=(NAME, NAME, b_name, NAME)):
        with QuetzServer(secret, faults=faults) as server:
            client = connect(server)
            return [quetz_upload(client, secret, content, name=name, force=True).status for name in names]

    assert statuses(Fault("status", status=418, nth=2)) == [201, 418, 500, 201]
    assert statuses(Fault("status", status=418, times=2)) == [418, 418, 500, 201]
    assert statuses(Fault("status", status=418, times=None)) == [418] * 4
    assert statuses(Fault("status", status=418, when="version")) == [201, 201, 500, 201]
    assert statuses(Fault("status", status=418, file=b_name, times=None)) == [201, 201, 418, 201]
    assert statuses(Fault("status", status=418, per_file=True)) == [418, 201, 418, 201]
    assert statuses(Fault("status", status=418, when=lambda request: b_name in request.path)) == [201, 201, 418, 201]
    with pytest.raises(ValueError, match="no fault of the kind 'rest'"):
        Fault("rest")


@pytest.mark.parametrize("then", ["close", "hold", "drain"])
def test_an_early_answer_comes_before_the_body(secret, then):
    """The answer is there although the body never was; what follows is as told."""
    with QuetzServer(secret, faults=[Fault("early", status=413, then=then)]) as server:
        with dial(server) as sock:
            sock.sendall(raw_post(server, length=1_000_000_000))
            assert sock.recv(12) == b"HTTP/1.1 413"
        assert (server.requests[0].body_size, server.requests[0].complete) == (0, False)


@pytest.mark.parametrize("kind", ["stall", "stall-answer"])
def test_a_stall_ends_when_the_client_gives_up_or_the_server_stops(connect, secret, content, kind):
    """No answer comes; neither the client nor the server is held any longer than it wants to be."""
    with QuetzServer(secret, faults=[Fault(kind, times=None)]) as server:
        impatient = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.2)
        impatient.request("POST", f"/api/channels/chan/upload/{NAME}", content)
        with pytest.raises(TimeoutError):
            impatient.getresponse()
        impatient.close()
        patient = dial(server)
        patient.sendall(raw_post(server))
        server.wait_for("upload", 2)
    with patient:
        assert patient.recv(10) == b""
    assert not any(thread.is_alive() for thread in server._threads)


def test_a_kept_connection_is_closed_or_cut(connect, secret, content):
    """The answer promises a connection that is closed, or that breaks when it is used again."""
    with QuetzServer(secret, faults=[Fault("keepalive-closed"), Fault("keepalive-cut")]) as server:
        closed, cut = connect(server), connect(server)
        assert [attempt(closed, secret, content), attempt(closed, secret, content) in BROKEN] == [201, True]
        assert [attempt(cut, secret, content), attempt(cut, secret, content) in BROKEN] == [409, True]
        assert [request.fault for request in server.requests] == ["keepalive-closed", "keepalive-cut", "keepalive-cut"]


def test_an_echo_holds_the_credential_that_came(connect, secret, content):
    """In the body and in a header, as careless proxies do it."""
    with QuetzServer(secret, faults=[Fault("echo", status=401)]) as server:
        answer = quetz_upload(connect(server), secret, content)
        assert (answer.status, secret in answer.content.decode()) == (401, True)
        assert secret in answer.headers.get_all("X-Rejected")


def test_a_redirect_leads_to_a_trap_that_remembers(connect, secret, content):
    """The other origin records what is sent there."""
    with Trap() as trap, QuetzServer(secret, faults=[Fault("redirect", status=307, to=trap.url)]) as server:
        answer = quetz_upload(connect(server), secret, content)
        assert (answer.status, trap.requests) == (307, [])
        target = urlsplit(answer.headers["Location"])
        assert target.netloc == urlsplit(trap.url).netloc
        connect(trap).send("POST", target.path, b"the body", {"X-API-Key": secret})
        assert (secret in trap.heard(), "the body" in trap.heard()) == (True, True)


def test_a_lie_changes_the_checksums(connect, secret, content):
    """The answer is whole but for its checksums, in JSON as in repodata."""
    targets = [f"/api/channels/chan/packages/demo/versions/{PATH}", "/get/chan/noarch/repodata.json"]
    with QuetzServer(secret, private=False, faults=[Fault("lie", when="any", times=2)]) as server:
        server.put(PATH, content)
        client = connect(server)
        lies, truths = ([client.send("GET", target).content.decode() for target in targets] for _ in range(2))
        assert all(sha256(content) not in lie and len(lie) == len(truths[at]) for at, lie in enumerate(lies))
        assert all(sha256(content) in truth for truth in truths)


def test_a_late_answer_garbage_and_an_answer_cut_short(connect, secret, content):
    """What a slow or broken server or proxy does."""
    with QuetzServer(secret, faults=[Fault("delay", seconds=0.05), Fault("garbage"), Fault("truncated")]) as server:
        assert attempt(connect(server), secret, content) == 201
        assert attempt(connect(server), secret, content) is http.client.BadStatusLine
        assert attempt(connect(server), secret, content) is http.client.IncompleteRead


def test_an_answer_that_nobody_asked_for(secret):
    """Right behind the answer comes a second one, on a connection that stays open."""
    with QuetzServer(secret, faults=[Fault("twice")]) as server, dial(server) as sock:
        sock.sendall(raw_post(server))
        received = b""
        while received.count(b"HTTP/1.1 ") < 2:
            received += sock.recv(1000)
        assert [received.count(b"HTTP/1.1 422"), received.count(b"HTTP/1.1 500")] == [1, 1]


def test_every_kind_of_fault_is_tried_here():
    """A new kind of fault comes with a test in this file."""
    source = Path(__file__).read_text()
    assert [kind for kind in KINDS if f'"{kind}"' not in source] == []


def test_a_server_that_breaks_says_so(connect):
    """A mistake of a scripted server fails the test, and is not taken for a fault of its script."""

    class Broken(ScriptedServer):
        def not_found(self, _exchange):
            raise ZeroDivisionError

    with Broken() as server:
        assert connect(server).send("GET", "/").status == 500
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            server.assert_clean()


# prefix.dev


def prefix_form(content, name=NAME, **changed):
    """The multipart body that prefix.dev is sent."""
    headers = {
        "content-disposition": f'form-data; name="file"; filename="{name}"',
        "content-type": "application/octet-stream",
        "content-length": str(len(content)),
        "x-file-name": name,
        "x-file-sha256": sha256(content),
        **changed,
    }
    head = "".join(f"{field}: {value}\r\n" for field, value in headers.items() if value is not None)
    return f"--B\r\n{head}\r\n".encode() + content + b"\r\n--B--\r\n"


def prefix_upload(client, token, body, query="", channel="my-channel"):
    """Upload to prefix.dev."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "multipart/form-data; boundary=B"}
    return client.send("POST", f"/api/v1/upload/{channel}{query}", body, headers).status


def test_prefix_answers_as_prefix_does(connect, secret, content, other_content):
    """Status of each outcome of an upload, and the viewer."""
    reader = leaks.new_secret("reader")
    with PrefixServer(secret, reader=reader) as server:
        client = connect(server)
        form = prefix_form(content)
        assert prefix_upload(client, "wrong", form) == 401
        assert prefix_upload(client, reader, form) == 403
        assert prefix_upload(client, secret, form, channel="nowhere") == 404
        assert prefix_upload(client, secret, prefix_form(b"no package")) == 422
        assert prefix_upload(client, secret, prefix_form(content, "other-1.0-0.conda")) == 422
        assert prefix_upload(client, secret, form) == 201
        assert prefix_upload(client, secret, form) == 409
        assert prefix_upload(client, secret, prefix_form(other_content), "?force=true") == 201
        assert server.files[PATH].sha256 == sha256(other_content)
        query = b'{"query": "query { viewer { login } }"}'
        viewers = [
            client.json("POST", "/api/graphql", query, {"Authorization": f"Bearer {token}"})[1]["data"]["viewer"]
            for token in (secret, "wrong")
        ]
        assert viewers == [{"login": "ann"}, None]
        server.assert_clean()


@pytest.mark.parametrize(
    ("changed", "objection"),
    [
        ({"x-file-sha256": "0" * 64}, "x-file-sha256 is not the SHA-256"),
        ({"x-file-name": "other.conda"}, "x-file-name is not the filename"),
        ({"content-length": "1"}, "content-length is wrong"),
        ({"content-type": "text/plain"}, "not application/octet-stream"),
        ({"content-type": None}, "other header fields"),
        ({"content-disposition": 'form-data; name="data"; filename="x"'}, "the first part is not a file"),
        ({"content-disposition": "form-data"}, "Content-Disposition"),
    ],
    ids=str,
)
def test_prefix_objects_to_a_wrong_part(connect, secret, content, changed, objection):
    """Each header field of the file part is checked."""
    with PrefixServer(secret) as server:
        prefix_upload(connect(server), secret, prefix_form(content, **changed))
        assert any(objection in error for error in server.protocol_errors)


@pytest.mark.parametrize(
    ("before", "after", "objection"),
    [
        (b"", b"--B--\r\n", "before the first boundary"),
        (b"--B--\r\n", b"--B--\r\nmore", "after the last boundary"),
        (b"--B--\r\n", b"--B\r\n", "ends before the last boundary"),
        (b"--B--\r\n", b'--B\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n--B--\r\n', "neither file nor att"),
        (b"--B--\r\n", b'--B\r\nContent-Disposition: form-data; name="attestation"\r\n\r\n[\r\n--B--\r\n', "not JSON"),
    ],
)
def test_prefix_objects_to_a_malformed_form(connect, secret, content, before, after, objection):
    """The form is read to the letter."""
    body = prefix_form(content).replace(before, after) if before else b"junk" + prefix_form(content)
    with PrefixServer(secret) as server:
        prefix_upload(connect(server), secret, body)
        assert any(objection in error for error in server.protocol_errors)


def test_prefix_finds_the_file_for_a_fault_in_the_form(connect, secret, content):
    """A fault may name a file although the file's name is in the body."""
    with PrefixServer(secret, faults=[Fault("status", file=NAME)]) as server:
        client = connect(server)
        assert [prefix_upload(client, secret, prefix_form(content)) for _ in range(2)] == [500, 201]
        assert server.requests[0].body_sha256 == sha256(prefix_form(content))
        server.assert_clean()


def test_prefix_serves_shards_and_repodata(connect, secret, content):
    """Readers get the sharded index, its shard, both forms of repodata, and the package."""
    with PrefixServer(secret, private=True) as server:
        server.put(PATH, content)
        client = connect(server)

        def get(name, **headers):
            return client.send("GET", f"/my-channel/noarch/{name}", headers=headers)

        def unpacked(name, **headers):
            return zstandard.decompress(get(name, **headers).content, max_output_size=1 << 20)

        bearer = {"Authorization": f"Bearer {secret}"}
        assert (get("repodata.json").status, get("repodata.json").headers["WWW-Authenticate"][:6]) == (401, "Bearer")
        index = msgspec.msgpack.decode(unpacked("repodata_shards.msgpack.zst", **bearer))
        shard_name = f"shards/{index['shards']['demo'].hex()}.msgpack.zst"
        shard = msgspec.msgpack.decode(unpacked(shard_name, **bearer))
        assert shard["packages.conda"][NAME]["sha256"] == bytes.fromhex(sha256(content))
        assert sha256(get(shard_name, **bearer).content) == index["shards"]["demo"].hex()
        assert json.loads(unpacked("repodata.json.zst", **bearer)) == json.loads(get("repodata.json", **bearer).content)
        assert get(NAME, **bearer).content == content
        tag = get("repodata.json", **bearer).headers["ETag"]
        assert get("repodata.json", **bearer, **{"If-None-Match": tag}).status == 304
        assert client.send("GET", "/my-channel/linux-64/repodata.json", headers=bearer).status == 404
        server.assert_clean()


# Artifactory


def deploy(client, content, headers, target=f"/artifactory/repo/{PATH}"):
    """Deploy to Artifactory; the answer."""
    return client.send("PUT", target, content, headers)


def test_artifactory_answers_as_artifactory_does(connect, secret, content, other_content):
    """Both kinds of authentication, checksums, overwriting, checksum deploy."""
    basic = {"Authorization": "Basic " + base64.b64encode(f"ann:{secret}".encode()).decode()}
    bearer = {"Authorization": f"Bearer {secret}"}
    with ArtifactoryServer(secret, username="ann", password=secret) as server:
        client = connect(server)
        assert deploy(client, content, {"Authorization": "Bearer wrong"}).status == 401
        assert deploy(client, content, {}).headers["WWW-Authenticate"].startswith("Basic")
        assert deploy(client, content, bearer, f"/artifactory/nowhere/{PATH}").status == 404
        assert deploy(client, content, {**bearer, "X-Checksum-Sha256": "0" * 64}).status == 409
        by_checksum = {**basic, "X-Checksum-Deploy": "true", "X-Checksum-Sha256": sha256(content)}
        assert deploy(client, b"", by_checksum).status == 404
        server.know(content)
        answer = deploy(client, b"", by_checksum)
        assert (answer.status, json.loads(answer.content)["checksums"]["sha256"]) == (201, sha256(content))
        assert deploy(client, other_content, {**basic, "X-Checksum-Sha256": sha256(other_content)}).status == 201
        head = client.send("HEAD", f"/artifactory/repo/{PATH}", headers=bearer)
        assert (head.headers["X-Checksum-Sha256"], head.headers["Content-Length"], head.content) == (
            sha256(other_content),
            str(len(other_content)),
            b"",
        )
        assert head.headers["Server"].startswith("Artifactory/")
        assert client.send("HEAD", "/artifactory/repo/noarch/other.conda", headers=basic).status == 404
        repodata = client.json("GET", "/artifactory/api/conda/repo/noarch/repodata.json", headers=basic)[1]
        assert list(repodata["packages.conda"]) == [NAME]
        server.assert_clean()


def test_artifactory_refuses_to_overwrite_when_told(connect, secret, content, other_content):
    """A user who may not delete gets 403."""
    with ArtifactoryServer(secret, may_overwrite=False) as server:
        client = connect(server)
        bearer = {"Authorization": f"Bearer {secret}"}
        assert [deploy(client, each, bearer).status for each in (content, other_content)] == [201, 403]


def test_plain_webdav_knows_nothing_of_artifactory(connect, secret, content):
    """No checksum, no JSON, no Artifactory header; a deploy by checksum leaves an empty file."""
    bearer = {"Authorization": f"Bearer {secret}"}
    with ArtifactoryServer(secret, plain_webdav=True) as server:
        client = connect(server)
        assert [deploy(client, content, bearer).status for _ in range(2)] == [201, 204]
        head = client.send("HEAD", f"/artifactory/repo/{PATH}", headers=bearer)
        assert (head.status, head.headers["X-Checksum-Sha256"], head.headers["X-Artifactory-Id"]) == (200, None, None)
        deploy(client, b"", {**bearer, "X-Checksum-Deploy": "true", "X-Checksum-Sha256": sha256(content)})
        assert server.files[PATH].size == 0


@pytest.mark.parametrize(
    ("headers", "body", "target", "objection"),
    [
        ({"X-Checksum-Sha256": "ABC"}, b"", PATH, "not a lower-case hexadecimal sha256"),
        ({"X-Checksum-Deploy": "true"}, b"x", PATH, "has a body"),
        ({"X-Checksum-Deploy": "true"}, b"", PATH, "names no checksum"),
        ({}, None, f"linux-64/{NAME}", "not the subdir that the package names"),
        ({}, b"", f"{PATH}?force=true", "has no query"),
    ],
)
def test_artifactory_objects_to_a_wrong_deploy(connect, secret, content, headers, body, target, objection):
    """Header fields, body and path of a deploy are checked."""
    with ArtifactoryServer(secret) as server:
        sent = content if body is None else body
        deploy(connect(server), sent, {"Authorization": f"Bearer {secret}", **headers}, f"/artifactory/repo/{target}")
        assert any(objection in error for error in server.protocol_errors)


# anaconda.org


class Anaconda:
    """The steps of an upload to anaconda.org."""

    def __init__(self, client, token, content):
        self._client = client
        self._content = content
        self._headers = {
            "Authorization": f"token {token}",
            "x-binstar-api-version": "1.12.2",
            "Accept": "application/json",
        }

    def call(self, method, target, sent=None, **headers):
        """Status and JSON of an API request."""
        body = None if sent is None else json.dumps(sent)
        given = {**self._headers, **({} if sent is None else {"Content-Type": "application/json"}), **headers}
        return self._client.json(method, target, body, given)

    def register(self):
        """Create package and release."""
        attrs = {"package_types": ["conda"], "name": "demo"}
        self.call("POST", "/package/owner/demo", {"public": False, "publish": False, "public_attrs": attrs})
        release = {"requirements": [], "announce": False, "description": None}
        return self.call("POST", "/release/owner/demo/1.0", release)[0]

    def stage(self, labels=("main",), **changed):
        """Announce the file."""
        attrs = {"name": "demo", "version": "1.0", "build": "h0_0", "subdir": "noarch"}
        sent = {"distribution_type": "conda", "description": None, "attrs": attrs, "channels": list(labels)}
        return self.call("POST", f"/stage/owner/demo/1.0/{PATH}", {**sent, "sha256": sha256(self._content), **changed})

    def send_form(self, staged, headers=None, **changed):
        """Send the file to the object store: the status and the error code."""
        digest = base64.b64encode(hashlib.md5(self._content, usedforsecurity=False).digest()).decode()
        fields = {**staged["form_data"], "Content-Length": str(len(self._content)), "Content-MD5": digest, **changed}
        parts = [f'Content-Disposition: form-data; name="{k}"\r\n\r\n{v}'.encode() for k, v in fields.items()]
        parts.append(b'Content-Disposition: form-data; name="file"\r\n\r\n' + self._content)
        body = b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + b"--B--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=B", **(headers or {})}
        answer = self._client.send("POST", urlsplit(staged["post_url"]).path, body, headers)
        return answer.status, answer.content.decode().partition("<Code>")[2].partition("<")[0]

    def commit(self, dist_id):
        """The commit's status."""
        return self.call("POST", f"/commit/owner/demo/1.0/{PATH}", {"dist_id": dist_id})[0]

    def upload(self, **options):
        """All steps from stage to commit: the last status."""
        status, staged = self.stage(**options)
        if status == 200:
            self.send_form(staged)
            status = self.commit(staged["dist_id"])
        return status


def test_anaconda_takes_the_whole_flow(connect, secret, content):
    """Package, release, stage, form, commit, commit again; then the file with its labels, and a conflict."""
    with AnacondaServer(secret) as server:
        client = Anaconda(connect(server), secret, content)
        assert client.call("GET", "/package/owner/demo")[0] == 404
        assert client.stage()[0] == 404
        assert client.register() == 200
        staged = client.stage(["main", "dev"])[1]
        assert client.commit(staged["dist_id"]) == 400
        assert client.send_form(staged) == (201, "")
        assert [client.commit(staged["dist_id"]), client.commit(staged["dist_id"]), client.commit("other")] == [
            200,
            200,
            404,
        ]
        assert server.files[PATH].times_stored == 1
        status, dist = client.call("GET", f"/dist/owner/demo/1.0/{PATH}")
        assert (status, dist["labels"], dist["sha256"]) == (200, ["dev", "main"], sha256(content))
        assert client.stage()[0] == 409
        assert client.call("DELETE", f"/dist/owner/demo/1.0/{PATH}")[0] == 200
        assert client.call("GET", "/package/owner/demo")[0] == 404
        assert server.steps().count("upload") == 1
        server.assert_clean()


def test_anaconda_checks_credential_and_owner(connect, secret, content):
    """401, 403 and 404 by token and owner."""
    reader = leaks.new_secret("reader")
    with AnacondaServer(secret, reader=reader) as server:
        wrong, reading = (Anaconda(connect(server), token, content) for token in ("wrong", reader))
        assert [wrong.call("GET", "/user")[0], reading.call("GET", "/user")[0]] == [401, 200]
        assert [wrong.register(), reading.register()] == [401, 403]
        assert Anaconda(connect(server), secret, content).call("GET", "/package/else/demo")[0] == 404
        server.assert_clean()


def test_anaconda_object_store_verifies_the_form(connect, secret, content):
    """Length, checksum and the one-time secrets of the stage."""
    with AnacondaServer(secret) as server:
        client = Anaconda(connect(server), secret, content)
        client.register()
        staged = client.stage()[1]
        assert client.send_form(staged, **{"Content-MD5": "AAAA"}) == (400, "InvalidDigest")
        assert client.send_form(staged, **{"Content-Length": "1"}) == (400, "EntityTooSmall")
        assert client.send_form(staged, policy="forged") == (403, "AccessDenied")
        assert client.send_form({**staged, "post_url": "/_upload/unknown"}) == (403, "AccessDenied")
        server.assert_clean()


def test_anaconda_objects_to_what_the_protocol_forbids(connect, secret, content):
    """Credentials at the object store, fields out of order, a PATCH that publishes, missing API headers."""
    with AnacondaServer(secret) as server:
        client = Anaconda(connect(server), secret, content)
        client.register()
        staged = client.stage()[1]
        client.send_form(staged, {"Authorization": f"token {secret}"})
        client.send_form({**staged, "form_data": dict(reversed(staged["form_data"].items()))})
        client.call("PATCH", "/package/owner/demo", {"public": True, "public_attrs": {}})
        client.call("GET", "/package/owner/demo", **{"x-binstar-api-version": "", "Accept": "text/html"})
        client.stage(channels="main", sha256="no")
        assert [error.partition(": ")[2] for error in server.protocol_errors] == [
            "authorization was sent to the object store",
            "the form's fields are not in the order staged",
            "PATCH of a package sends public: true, which publishes it",
            "x-binstar-api-version is missing",
            "Accept is not application/json",
            "sha256 is not 64 hexadecimal digits",
            "channels is not a list of labels",
        ]
        assert server.packages["demo"].public is False


def test_anaconda_commit_verifies_what_was_staged(connect, secret, content):
    """The bytes must have the sha256 of the stage."""
    with AnacondaServer(secret) as server:
        client = Anaconda(connect(server), secret, content)
        client.register()
        assert client.upload(sha256="0" * 64) == 422


def test_anaconda_serves_labels_as_channels(connect, secret, content):
    """A file is in the channels of its labels, and a token may stand in the path, before or behind the mount."""
    with AnacondaServer(secret, mount="/api", private=True) as server:
        server.put(PATH, content).labels = {"dev"}
        client = connect(server)

        def count(target):
            answer = client.send("GET", f"{target}/noarch/repodata.json")
            return answer.content.count(b"h0_0.conda") if answer.status == 200 else answer.status

        assert count("/conda/owner/label/dev") == 401
        assert count(f"/t/{secret}/conda/owner/label/dev") == 1
        assert count(f"/conda/t/{secret}/owner/label/dev") == 1
        assert count(f"/t/{secret}/owner") == 0
        assert server.service_url == f"{server.url}/api"
        server.assert_clean()
