"""Channels in Azure Blob Storage, against a service that checks every signature and can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback import Retry
from keelback.archive import inspect
from keelback.channels.buckets import listings
from keelback.channels.buckets.attributes import archive_attributes
from keelback.channels.buckets.azure import AzureContainer
from keelback.channels.buckets.azureaccess import find_azure
from keelback.channels.buckets.azurechannel import AzureChannel
from keelback.channels.buckets.azureplace import Place
from keelback.channels.buckets.azurerequests import quoted
from keelback.channels.buckets.bucket import ABSENT, SHA256, Attributes, Changed
from keelback.channels.delivery import Delivery
from keelback.channels.session import BucketOptions, Session
from keelback.credentials.oidc.trusted import Mode, TrustedPublishing
from keelback.errors import (
    ChannelError,
    CredentialError,
    CredentialRefused,
    Forbidden,
    KeelbackError,
    ServerError,
    SourceChanged,
    TransportError,
)
from keelback.report import Reporter
from keelback.secret import Secret
from keelback.transport import Client, Request
from making import make_conda
from servers.scripted import Fault
from servers.scripted.azure import ACCOUNT, CONTAINER, AzureBlobServer
from servers.scripted.azureidentity import AUDIENCE, CLIENT, TENANT, EntraServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keelback.archive import PackageArchive

QUICK = Retry(attempts=3, base=0.001)
PART = 4096
KEY = "noarch/repodata.json"
CHANNEL = [CONTAINER, "team", "main"]


@pytest.fixture
def server() -> Iterator[AzureBlobServer]:
    """The service; whatever is wrong with a request fails the test at its end."""
    with AzureBlobServer() as running:
        yield running
    running.assert_clean()


@pytest.fixture
def entra() -> Iterator[EntraServer]:
    """Where tokens come from."""
    with EntraServer() as running:
        yield running
    running.assert_clean()


@pytest.fixture
def client() -> Iterator[Client]:
    """What sends the requests."""
    with Client(retry=QUICK, timeout=10.0, insecure_hosts=["127.0.0.1"]) as one:
        yield one


@pytest.fixture
def archive(tmp_path: Path) -> PackageArchive:
    """One of several blocks."""
    return inspect(make_conda(tmp_path / "dist", payload=40_000))


def session(client: Client, server: AzureBlobServer, environ: dict[str, str], **options: Any) -> Session:
    """What a run with these variables works with."""
    buckets = BucketOptions(endpoint_url=server.endpoint)
    return Session(client, lambda: options.pop("stores", []), environ=environ, buckets=buckets, **options)


def container(
    client: Client, server: AzureBlobServer, *, channel: list[str] = CHANNEL, **environ: str
) -> AzureContainer:
    """The channel, with the account's key where no variables are given."""
    variables = {"AZURE_STORAGE_ACCOUNT": ACCOUNT, **(environ or {"AZURE_STORAGE_KEY": server.key})}
    found = AzureContainer.of(session(client, server, variables), ACCOUNT, channel)
    return AzureContainer(client, found._place, found.access(), part_size=PART)


class Told(Reporter):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.count = 0

    def sent(self, _archive: object, count: int) -> None:
        """See :class:`Reporter`."""
        self.count += count


def stage(bucket: AzureContainer, archive: Any, *, ahead: bool = False, told: Reporter | None = None) -> Any:
    """*archive*, staged in *bucket*."""
    delivery = Delivery(archive, told or Reporter())
    return bucket.stage(archive.relative_path, archive, archive_attributes(archive), delivery, ahead=ahead)


def write(bucket: AzureContainer, content: bytes, condition: Any = None) -> str:
    """An index with *content*, written in *bucket*."""
    attributes = Attributes("application/json", "public", metadata={SHA256: hashlib.sha256(content).hexdigest()})
    return bucket.write(KEY, content, attributes, condition)


def refused(bucket: AzureContainer) -> KeelbackError:
    """Why *bucket* cannot be written."""
    with pytest.raises(KeelbackError) as caught:
        bucket.probe()
    return caught.value


# --- archives --------------------------------------------------------------------------------------------------------


def test_an_archive_is_there_all_at_once_with_its_hashes(
    server: AzureBlobServer, client: Client, archive: PackageArchive
) -> None:
    """In blocks, of which nobody sees anything before the last request; the progress is told once for each byte."""
    bucket, told = container(client, server), Told()
    staged = stage(bucket, archive, told=told)
    assert server.steps().count("block") == -(-archive.size // PART)
    assert server.blobs == {}
    assert bucket.stat(archive.relative_path) is None
    assert staged.publish(ABSENT) == 1
    found = bucket.stat(archive.relative_path)
    assert found is not None
    assert (found.size, found.sha256, found.md5) == (archive.size, archive.sha256, archive.md5)
    blob = server.blobs[f"team/main/{archive.relative_path}"]
    assert blob.content == archive.path.read_bytes()
    assert blob.headers["x-ms-blob-content-type"] == "application/octet-stream"
    assert blob.headers["x-ms-blob-content-disposition"] == f"attachment; filename={archive.filename}"
    assert told.count == archive.size


def test_a_small_archive_goes_out_in_one_request_unless_it_has_to_go_ahead(
    server: AzureBlobServer, client: Client, tmp_path: Path
) -> None:
    """Nothing is sent of it before it is published."""
    small = inspect(make_conda(tmp_path / "dist"))
    bucket = container(client, server)
    staged = stage(bucket, small)
    assert server.steps() == []
    assert staged.publish(ABSENT) == 1
    assert server.steps() == ["write"]
    stage(bucket, small, ahead=True).publish(None)
    assert server.steps() == ["write", "block", "write"]


@pytest.mark.parametrize("ahead", [False, True])
def test_nothing_is_overwritten_where_something_is_there(
    server: AzureBlobServer, client: Client, tmp_path: Path, *, ahead: bool
) -> None:
    """Neither what was there before, nor what somebody else has put there meanwhile."""
    small = inspect(make_conda(tmp_path / "dist"))
    staged = stage(container(client, server), small, ahead=ahead)
    server.put(f"team/main/{small.relative_path}", b"other")
    for condition in (ABSENT, '"0x1"'):
        with pytest.raises(Changed) as caught:
            staged.publish(condition)
        assert not caught.value.uncertain
    assert server.blobs[f"team/main/{small.relative_path}"].content == b"other"


@pytest.mark.parametrize("ahead", [False, True])
def test_an_answer_that_got_lost_is_no_failure(
    server: AzureBlobServer, client: Client, tmp_path: Path, *, ahead: bool
) -> None:
    """The repetition finds what the first attempt has made."""
    small = inspect(make_conda(tmp_path / "dist"))
    staged = stage(container(client, server), small, ahead=ahead)
    server.plan(Fault("lost-answer", when="write"))
    assert staged.publish(ABSENT) == (1 if ahead else 2)


@pytest.mark.parametrize("kind", ["status", "reset-body", "lost-answer", "reset"])
def test_a_block_that_breaks_is_sent_again_and_told_once(
    server: AzureBlobServer, client: Client, archive: PackageArchive, kind: str
) -> None:
    """Busy services, broken connections and lost answers: the others go on."""
    server.plan(Fault(kind, when="write", status=503, nth=2, times=2))
    told = Told()
    stage(container(client, server), archive, told=told).publish(ABSENT)
    assert server.blobs[f"team/main/{archive.relative_path}"].content == archive.path.read_bytes()
    assert told.count == archive.size


def test_a_service_that_stays_busy_is_given_up(
    server: AzureBlobServer, client: Client, archive: PackageArchive
) -> None:
    """With what to do about it; no other block is begun."""
    server.plan(Fault("status", when="write", status=503, times=None))
    with pytest.raises(
        ServerError, match=r"had no time to write noarch/demo-1\.0-h0_0\.conda, in 3 attempts"
    ) as caught:
        stage(container(client, server), archive)
    assert (caught.value.code, caught.value.hint) == (
        "rate-limited",
        "Try again later, or with fewer at once (--jobs, where the command has it).",
    )
    assert len(server.requests) <= 3 * 5
    assert server.blobs == {}


def test_blocks_that_another_upload_had_forgotten_are_sent_again(
    server: AzureBlobServer, client: Client, archive: PackageArchive
) -> None:
    """Who writes a blob has the service forget all other blocks of its key; whoever is to replace it still does."""
    bucket = container(client, server)
    first, second = stage(bucket, archive), stage(bucket, archive)
    assert first.publish(None) == 1
    assert second.publish(None) == 2
    late = stage(bucket, archive)
    first.publish(None)
    with pytest.raises(Changed):
        late.publish('"0x1"')


def test_blocks_of_others_that_are_in_the_way_are_overcome(
    server: AzureBlobServer, client: Client, archive: PackageArchive
) -> None:
    """Another program's are named in another way, and no block of ours could be added for a week."""
    server.blocks[f"team/main/{archive.relative_path}"] = {"c2hvcnQ=": b"theirs"}
    staged = stage(container(client, server), archive)
    assert staged.publish(ABSENT) == 1
    assert server.blobs[f"team/main/{archive.relative_path}"].content == archive.path.read_bytes()


def test_an_archive_that_changes_is_not_published(
    server: AzureBlobServer, client: Client, archive: PackageArchive
) -> None:
    """Nothing of it becomes visible."""
    attributes = archive_attributes(archive)
    archive.path.write_bytes(b"something else")
    with pytest.raises(SourceChanged):
        container(client, server).stage(
            archive.relative_path, archive, attributes, Delivery(archive, Reporter()), ahead=False
        )
    assert server.blobs == {}


def test_an_archive_that_comes_from_elsewhere_is_read_once(
    server: AzureBlobServer, client: Client, archive: PackageArchive
) -> None:
    """Its blocks go out in order, and each again where that is needed, out of memory."""
    passes = []

    class Streamed:
        streams = True
        relative_path, filename, size = archive.relative_path, archive.filename, archive.size
        sha256, md5 = archive.sha256, archive.md5

        def blocks(self, size: int = 1000, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
            passes.append((start, length))
            yield from archive.blocks(min(size, 1000))
            passes.append("verified")

    server.plan(Fault("status", when="write", status=500, nth=3))
    staged = stage(container(client, server), Streamed())
    assert passes == [(0, None), "verified"]
    assert staged.publish(ABSENT) == 1
    assert server.blobs[f"team/main/{archive.relative_path}"].content == archive.path.read_bytes()


# --- indexes ---------------------------------------------------------------------------------------------------------


def test_of_many_writers_one_at_a_time_succeeds(server: AzureBlobServer, client: Client) -> None:
    """Each adds a line to what it read, on the condition that it is still there; none is lost."""
    bucket = container(client, server)
    write(bucket, b"", ABSENT)

    def add(line: bytes) -> None:
        while True:
            found = bucket.read(KEY, limit=1 << 20)
            assert found is not None
            try:
                write(bucket, found[0] + line, found[1].version)
            except Changed:
                continue
            return

    threads = [threading.Thread(target=add, args=(f"{number}\n".encode(),)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = bucket.read(KEY, limit=1 << 20)
    assert found is not None
    assert sorted(map(int, found[0].split())) == list(range(16))


def test_a_write_whose_answer_got_lost_gives_the_version_that_is_there(server: AzureBlobServer, client: Client) -> None:
    """So that the next condition holds; but what somebody else wrote is never taken for one's own."""
    bucket = container(client, server)
    server.plan(Fault("lost-answer", when="write"))
    version = write(bucket, b"{}", ABSENT)
    assert version == server.blobs[f"team/main/{KEY}"].etag
    server.plan(Fault("reset", when="write"))
    server.put(f"team/main/{KEY}", b"{1}")
    with pytest.raises(Changed) as caught:
        write(bucket, b"{2}", version)
    assert caught.value.uncertain


def test_what_is_gone_is_no_longer_what_it_was(server: AzureBlobServer, client: Client) -> None:
    """A version that has to be there is not; deleting what is not there is a success."""
    bucket = container(client, server)
    version = write(bucket, b"{}")
    with pytest.raises(Changed):
        bucket.delete(KEY, '"0x0"')
    bucket.delete(KEY, version)
    bucket.delete(KEY, version)
    bucket.delete(KEY)
    assert bucket.read(KEY, limit=10) is None
    with pytest.raises(Changed):
        write(bucket, b"{}", version)


def test_an_index_larger_than_allowed_is_not_read(server: AzureBlobServer, client: Client) -> None:
    """Whoever controls the service does not control the memory of its clients."""
    bucket = container(client, server)
    write(bucket, b" " * 1001)
    with pytest.raises(TransportError, match="larger than 1000 bytes"):
        bucket.read(KEY, limit=1000)


def one_blob(name: str, length: str) -> str:
    """A listing of one blob, as far as it says what it is."""
    properties = f"<Properties><Etag>1</Etag><Content-Length>{length}</Content-Length></Properties>"
    blob = f"<Blob><Name>{name}</Name>{properties}</Blob>"
    return f"<EnumerationResults><Blobs>{blob}</Blobs></EnumerationResults>"


# --- listings --------------------------------------------------------------------------------------------------------


def test_listings_go_on_over_pages_and_stay_in_the_channel(server: AzureBlobServer, client: Client) -> None:
    """With odd names; what is in another channel of the container is not seen."""
    server.page_size = 2
    names = [
        "noarch/a+b!_1-0.conda",
        "noarch/a&b<c>-1-0.conda",
        "noarch/shards/x",
        "linux-64/ü-1-0.conda",
        "index.html",
    ]
    for name in names:
        server.put(f"team/main/{name}", b"xx", **{"x-ms-meta-package_sha256": "ab" * 32})
    server.put("team/mainly/noarch/other-1-0.conda")
    bucket = container(client, server)
    listed = list(bucket.list())
    assert sorted(found.key for found in listed) == sorted(names)
    assert {(found.size, found.sha256) for found in listed} == {(2, "ab" * 32)}
    assert {found.version for found in listed} == {
        blob.etag for name, blob in server.blobs.items() if "mainly" not in name
    }
    assert sorted(found.key for found in bucket.list("noarch/", folder=True)) == sorted(names[:2])
    assert sorted(bucket.prefixes()) == ["linux-64", "noarch"]
    whole = container(client, server, channel=[CONTAINER])
    assert list(whole.prefixes()) == ["team"]
    assert len(list(whole.list())) == 6


@pytest.mark.parametrize(
    ("listing", "why"),
    [
        ("<html>", "cannot be read"),
        ("<Other/>", "it is no listing"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><EnumerationResults>&a;</EnumerationResults>', "document type"),
        ("<EnumerationResults>" + "<a>" * 100, "nested too deeply"),
        ("<EnumerationResults><Blobs/><NextMarker>more</NextMarker></EnumerationResults>", "the same page again"),
        (one_blob("team/other/x", "1"), "names a blob elsewhere"),
        (one_blob("team/main/x", "-1"), "says nothing useful"),
        (f"<EnumerationResults><Blobs>{'<Blob></Blob>' * 1001}</Blobs></EnumerationResults>", "more than 1000"),
    ],
)
def test_a_listing_that_cannot_be_is_refused(
    server: AzureBlobServer, client: Client, listing: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than believed, or read for ever."""
    monkeypatch.setattr(listings, "MOST_ROWS", 1000)
    server.listing = listing
    with pytest.raises(ServerError, match=why):
        list(container(client, server).list())


@pytest.mark.parametrize("name", ["..", ".", "../noarch/x", "a/b"])
def test_a_list_of_a_folder_has_nothing_from_elsewhere(server: AzureBlobServer, client: Client, name: str) -> None:
    """Whoever answers: no key with a further slash, none that leads out of the folder."""
    server.listing = one_blob(f"team/main/noarch/{name}", "1")
    assert list(container(client, server).list("noarch/", folder=True)) == []
    found = f"<BlobPrefix><Name>team/main/{name}/</Name></BlobPrefix>"
    server.listing = f"<EnumerationResults><Blobs>{found}</Blobs></EnumerationResults>"
    assert list(container(client, server).prefixes()) == []


def test_no_write_depends_on_a_weak_version(server: AzureBlobServer, client: Client) -> None:
    """It never holds, so that it would be tried for ever."""
    with pytest.raises(ServerError, match="weak ETags") as caught:
        write(container(client, server), b"{}", 'W/"0x1"')
    assert (caught.value.code, server.steps()) == ("weak-etag", [])
    assert quoted('W/"0x1"') == 'W/"0x1"'


def test_folders_of_a_hierarchical_namespace_are_no_objects(server: AzureBlobServer, client: Client) -> None:
    """Accounts that have one list folders among the blobs."""
    server.put("team/main/noarch", **{"x-ms-meta-hdi_isfolder": "true"})
    server.put("team/main/noarch/a-1-0.conda")
    assert [found.key for found in container(client, server).list()] == ["noarch/a-1-0.conda"]


# --- what is wrong with a container, or with a credential ------------------------------------------------------------


def test_a_container_that_can_be_written_honours_conditions(server: AzureBlobServer, client: Client) -> None:
    """Found out with one object; and where something else than Azure answers that does not, that is found out, too."""
    bucket = container(client, server)
    bucket.probe()
    bucket.probe()
    assert bucket.conditional
    assert list(server.blobs) == ["team/main/.keelback/conditions"]
    server.honours_conditions = False
    bucket.probe()
    assert not bucket.conditional


@pytest.mark.parametrize(
    ("status", "code", "error", "word", "hint"),
    [
        (403, "AuthorizationPermissionMismatch", Forbidden, "forbidden", "unless a policy forbids it"),
        (403, "AuthorizationFailure", Forbidden, "forbidden", "firewall"),
        (403, "KeyBasedAuthenticationNotPermitted", CredentialRefused, "wrong-kind", "az login"),
        (403, "AuthenticationFailed", CredentialRefused, "credential-refused", "rotated"),
        (403, "AccountIsDisabled", ChannelError, "account", "disabled"),
        (412, "LeaseIdMissing", ChannelError, "locked", "lease break"),
        (409, "BlobImmutableDueToPolicy", Forbidden, "forbidden", "immutability"),
        (400, "Md5Mismatch", ServerError, "damaged", "proxy"),
        (400, "InvalidHeaderValue", ServerError, "server", "2021-12-02"),
        (413, "RequestBodyTooLarge", ServerError, "too-large", "limits the size"),
        (409, "WhateverComesNext", ServerError, "server", ""),
    ],
)
def test_an_error_says_what_to_do(
    server: AzureBlobServer, client: Client, status: int, code: str, error: type[KeelbackError], word: str, hint: str
) -> None:
    """By the service's own code; its words come along, without what only its support can read."""
    answer = server.error(status, code, "Some words.")
    server.plan(
        Fault("status", when="write", status=status, body=answer.body.decode(), media="application/xml", times=None)
    )
    caught = refused(container(client, server))
    assert type(caught) is error
    assert (caught.code, f"({code}): Some words." in caught.message) == (word, True)
    assert hint in caught.hint
    assert "RequestId" not in str(caught)


def test_a_missing_container_is_told_from_a_missing_blob(server: AzureBlobServer, client: Client) -> None:
    """Nothing is there only where its container is."""
    missing = container(client, server, channel=["nothere", "main"])
    for ask in (missing.probe, lambda: missing.stat(KEY), lambda: list(missing.list()), lambda: missing.delete(KEY)):
        with pytest.raises(ServerError, match=r"has no container 'nothere' \(ContainerNotFound\)") as caught:
            ask()
        assert caught.value.code == "not-found"
        assert "az storage container create" in caught.value.hint


def test_a_page_that_answers_in_place_of_the_service_is_not_believed(server: AzureBlobServer, client: Client) -> None:
    """A proxy's log-in page has a status of 200, and no version."""
    server.plan(Fault("status", when="any", status=200, media="html", times=None))
    bucket = container(client, server)
    for ask in (
        bucket.probe,
        lambda: bucket.stat(KEY),
        lambda: bucket.read(KEY, limit=1000),
        lambda: list(bucket.list()),
    ):
        with pytest.raises(ServerError) as caught:
            ask()
        assert caught.value.code == "bad-answer"


@pytest.mark.parametrize("hours", [-2, 3])
def test_a_clock_that_is_wrong_is_corrected_once(server: AzureBlobServer, client: Client, hours: int) -> None:
    """The service says what the time is; later requests need no second attempt."""
    server.ahead = hours * 3600
    bucket = container(client, server)
    bucket.probe()
    before = len(server.requests)
    bucket.probe()
    assert len(server.requests) == before + 1


def test_a_signature_that_has_expired_is_called_so(server: AzureBlobServer, client: Client) -> None:
    """It says when itself."""
    old = f"sv=2021-12-02&se=2020-01-01T00%3A00%3A00Z&sp=rcwl&sig={leaks.new_secret('old')}"
    caught = refused(container(client, server, AZURE_STORAGE_SAS_TOKEN=old))
    assert (type(caught), caught.code) == (CredentialRefused, "expired-credential")
    assert "expired at 2020-01-01T00:00:00Z" in caught.message


def test_a_careless_service_makes_nobody_print_the_credential(server: AzureBlobServer, client: Client) -> None:
    """A shared access signature is in the URL, which it shows in its error."""
    server.plan(Fault("echo", when="write", status=409, times=None))
    assert "rejected credential" in str(refused(container(client, server, AZURE_STORAGE_SAS_TOKEN=server.sas)))


# --- credentials -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}", "?{}", "https://acme.blob.core.windows.net/conda?{}", "decoded"])
def test_a_shared_access_signature_is_taken_in_any_form(server: AzureBlobServer, client: Client, form: str) -> None:
    """As the portal and the tools show it; also for whoever reads with the same credential."""
    text = server.sas.replace("%2B", "+").replace("%3D", "=") if form == "decoded" else form.format(server.sas)
    bucket = container(client, server, AZURE_STORAGE_SAS_TOKEN=text)
    write(bucket, b"{}")
    access = bucket.access()
    assert access is not None
    assert access.source == "the variable AZURE_STORAGE_SAS_TOKEN"
    answer = client.get(Request("GET", f"{bucket.reading_url}/{KEY}", auth=access.credential))
    assert answer.content == b"{}"


@pytest.mark.parametrize("variable", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"])
def test_readers_sign_what_they_ask_for(server: AzureBlobServer, client: Client, variable: str) -> None:
    """Also with the conditions and ranges that the container itself never sends."""
    bucket = container(client, server, **{variable: server.key})
    write(bucket, b"{}")
    access = bucket.access()
    assert access is not None
    headers = {"range": "bytes=0-1", "if-none-match": '"x"', "if-modified-since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    request = Request("GET", f"{bucket.reading_url}/{KEY}?b=%2B&A=1", auth=access.credential, headers=headers)
    assert client.get(request).status == 200


def test_a_connection_string_counts_for_its_own_account(server: AzureBlobServer, client: Client) -> None:
    """It says where the account is, too."""
    text = (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={server.key};BlobEndpoint={server.endpoint}/"
    )
    plain = Session(client, list, environ={"AZURE_STORAGE_CONNECTION_STRING": text, "AZURE_TOKEN_CREDENTIALS": "none"})
    AzureContainer.of(plain, ACCOUNT, CHANNEL).probe()
    other = AzureContainer.of(plain, "other", CHANNEL)
    assert (other.access(), other.reading_url) == (None, "https://other.blob.core.windows.net/conda/team/main")
    signed = f"BlobEndpoint={server.endpoint};AccountName={ACCOUNT};SharedAccessSignature={server.sas}"
    plain = Session(client, list, environ={"AZURE_STORAGE_CONNECTION_STRING": signed})
    AzureContainer.of(plain, ACCOUNT, CHANNEL).probe()


def test_what_is_public_is_read_without_a_credential(server: AzureBlobServer, client: Client) -> None:
    """And nothing is written; what would let one do so is said."""
    bucket = container(client, server, AZURE_TOKEN_CREDENTIALS="none")
    assert bucket.access() is None
    caught = refused(bucket)
    assert (type(caught), caught.code) == (CredentialError, "no-credential")
    assert "az login" in caught.hint


def test_an_application_writes_with_its_secret(server: AzureBlobServer, client: Client, entra: EntraServer) -> None:
    """A token that the service does not take any more is renewed, without anybody being told."""
    environ = applied(entra, AZURE_CLIENT_SECRET=entra.client_secret)
    bucket = container(client, server, **environ)
    server.tokens = {entra.given[0]}
    bucket.probe()
    server.tokens = set()
    server.plan(Fault("delay", when=lambda _: bool(server.tokens.update(entra.given[1:])), times=None))
    bucket.probe()
    assert len(entra.given) == 2


def test_a_workload_identity_is_read_anew_each_time(
    server: AzureBlobServer, client: Client, entra: EntraServer, tmp_path: Path
) -> None:
    """Whoever keeps the file replaces the identity in it."""
    file = leaks.holds_secrets(tmp_path / "token.txt")
    file.write_text(f"{entra.issuer.token(AUDIENCE)}\n", encoding="ascii")
    environ = applied(entra, AZURE_FEDERATED_TOKEN_FILE=str(file))
    bucket = container(client, server, **environ)
    server.tokens = set(entra.given)
    bucket.probe()
    file.unlink()
    with pytest.raises(CredentialError, match="cannot be read"):
        container(client, server, **environ)


def test_a_ci_job_needs_no_secret(server: AzureBlobServer, client: Client, entra: EntraServer) -> None:
    """Its identity is exchanged, once, for all channels of the run; where it may not be, nothing is sent."""
    identity = Secret(entra.issuer.token(AUDIENCE), "--oidc-token")
    run = session(client, server, applied(entra), trusted=TrustedPublishing.of(id_token=identity))
    buckets = [AzureContainer.of(run, ACCOUNT, [CONTAINER, name]) for name in ("a", "b")]
    assert len(entra.given) == 1
    server.tokens = set(entra.given)
    for bucket in buckets:
        bucket.probe()
    with pytest.raises(CredentialError, match="nothing says as which application"):
        AzureContainer.of(
            session(client, server, {}, trusted=TrustedPublishing.of(id_token=identity)), ACCOUNT, CHANNEL
        )


def test_an_identity_that_is_not_federated_is_told_what_to_set_up(
    server: AzureBlobServer, client: Client, entra: EntraServer
) -> None:
    """With what the identity says, and Entra's own words."""
    entra.issuer.claims["sub"] = "repo:acme/other"
    entra.trouble = (400, "AADSTS700213: No matching federated identity record found for presented assertion subject.")
    identity = Secret(entra.issuer.token(AUDIENCE), "--oidc-token")
    with pytest.raises(CredentialError, match="AADSTS700213: No matching federated identity record") as caught:
        AzureContainer.of(
            session(client, server, applied(entra), trusted=TrustedPublishing.of(id_token=identity)), ACCOUNT, CHANNEL
        )
    assert f"Under 'Federated credentials' of the application or managed identity {CLIENT}" in caught.value.hint
    assert f"aud={AUDIENCE}, sub=repo:acme/other" in caught.value.hint
    assert "Trace ID" not in caught.value.message


def test_a_managed_identity_is_asked_for_where_there_is_one(
    server: AzureBlobServer, client: Client, entra: EntraServer
) -> None:
    """Of a machine, or of an app; one that is not there ends in what to do."""
    machine = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": entra.url, "AZURE_CLIENT_ID": CLIENT}
    app = {"IDENTITY_ENDPOINT": f"{entra.url}/msi/token", "IDENTITY_HEADER": entra.header}
    for environ in (machine, app):
        bucket = container(client, server, AZURE_TOKEN_CREDENTIALS="prod", **environ)
        server.tokens = set(entra.given)
        bucket.probe()
    assert entra.steps() == ["metadata", "app"]
    entra.trouble = (400, "Identity not found")
    with pytest.raises(CredentialError, match=r"no token of a managed identity \(400\): Identity not found") as caught:
        container(client, server, AZURE_TOKEN_CREDENTIALS="prod", **machine)
    assert "Give the machine or the app a managed identity" in caught.value.hint


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"IDENTITY_ENDPOINT": "http://example.com/msi", "IDENTITY_HEADER": "secret-header"}, "over plain HTTP"),
        ({"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://93.184.216.34"}, "over plain HTTP"),
    ],
)
def test_no_token_is_asked_for_where_others_can_listen(
    server: AzureBlobServer, client: Client, environ: dict[str, str], why: str
) -> None:
    """Whoever can set a variable gets neither the header nor the token."""
    with pytest.raises(CredentialError, match=why):
        container(client, server, AZURE_TOKEN_CREDENTIALS="prod", **environ)


def test_a_token_of_another_host_is_not_asked_for(server: AzureBlobServer, client: Client) -> None:
    """A token of Entra ID opens every account of its owner: no channel's URL sends it to somebody else's server."""
    with pytest.raises(KeelbackError, match="is not a host of Azure Blob Storage"):
        Place.of(session(client, server, {}), "acme.example.com", CHANNEL)


def test_no_token_goes_by_itself_to_a_host_that_is_not_azures(
    server: AzureBlobServer, client: Client, entra: EntraServer
) -> None:
    """Whoever names the endpoint; nothing is asked for, and it is said why. What is given goes there."""

    def elsewhere(environ: dict[str, str], **options: Any) -> Session:
        buckets = BucketOptions(endpoint_url="https://blobs.example/acme")
        return Session(client, list, environ=environ, buckets=buckets, **options)

    environ = applied(entra, AZURE_CLIENT_SECRET=entra.client_secret)
    channel = AzureChannel(ACCOUNT, *CHANNEL)
    with pytest.raises(CredentialError, match=r"blobs\.example is not a host of Azure's own clouds") as caught:
        channel.open(elsewhere(environ))
    assert "AZURE_STORAGE_KEY" in caught.value.hint
    with pytest.raises(CredentialError, match=r"blobs\.example is not a host of Azure's own clouds"):
        channel.open(elsewhere(environ, trusted=TrustedPublishing.of(Mode.ALWAYS)))
    assert entra.requests == []
    session_of = elsewhere({**environ, "AZURE_STORAGE_KEY": server.key, "AZURE_STORAGE_ACCOUNT": ACCOUNT})
    assert find_azure(session_of, Place.of(session_of, ACCOUNT, CHANNEL)) is not None


def applied(entra: EntraServer, **variables: str) -> dict[str, str]:
    """The variables that name the application at *entra*, and no other source of tokens behind it."""
    named = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_AUTHORITY_HOST": entra.url}
    return {
        **named,
        "AZURE_TOKEN_CREDENTIALS": _SOURCE.get(next(iter(variables), ""), "workloadidentitycredential"),
        **variables,
    }


_SOURCE = {"AZURE_CLIENT_SECRET": "EnvironmentCredential"}
