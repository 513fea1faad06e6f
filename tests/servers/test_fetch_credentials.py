"""Fetching from private channels: which credential goes where, who is asked for it, and what is said where it fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import keelback
import leaks
from cli_runner import run_keelback
from keelback import ExitStatus
from keelback.channels.reader import Reader
from keelback.channels.session import Session
from keelback.credentials.codec import parse_credential
from keelback.credentials.stores import Store
from keelback.errors import CredentialError
from keelback.transport import Answer, Client
from making import make_conda
from servers.fetch_runs import QUICK, attempt, auth_file, files, problem, statuses
from servers.scripted import AnacondaServer, ArtifactoryServer, Fault, PrefixServer, QuetzServer, Trap
from servers.scripted.channel_server import FILES, Login, ReadableServer, channel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from keelback.credentials.kinds import Credential

KINDS = ["BearerToken", "BasicHTTP", "CondaToken"]
BOTH = {"boat-1.0-h0_0.conda": "fetched", "hull-1.0-h0_0.conda": "fetched"}
HOST = "127.0.0.1"


class Keychain(Store):
    """A keychain that tells what it was asked.

    Attributes:
        entries: what it has, as an auth file has it.
        asked: the keys that were asked for.
    """

    name = "the keychain"
    is_keychain = True

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.asked: list[str] = []

    def get(self, key: str) -> Credential | None:
        """What it has under *key*."""
        self.asked.append(key)
        return parse_credential(self.entries[key], source=self.name) if key in self.entries else None

    def keys(self) -> Sequence[str]:
        """All keys."""
        return list(self.entries)


@pytest.fixture(autouse=True)
def keychain(monkeypatch: pytest.MonkeyPatch) -> Keychain:
    """The keychain of this machine."""
    made = Keychain()
    monkeypatch.delenv("KEELBACK_NO_KEYCHAIN")
    monkeypatch.setattr("keelback.credentials.opening._keychain", lambda _: made)
    return made


@pytest.fixture(params=KINDS)
def login(request: pytest.FixtureRequest) -> Login:
    """Each kind of credential that a web server takes."""
    return Login(request.param, leaks.new_secret("reader"))


@pytest.fixture
def bearer() -> Login:
    """A token."""
    return Login("BearerToken", leaks.new_secret("bearer"))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A boat, and the hull that it needs."""
    dist = tmp_path_factory.mktemp("dist")
    return [make_conda(dist, "boat", subdir="linux-64", depends=["hull"]), make_conda(dist, "hull")]


@pytest.fixture
def contents(archives: list[Path]) -> dict[str, Any]:
    """A channel with both."""
    return channel(*archives)


def stored(folder: Path, monkeypatch: pytest.MonkeyPatch, credentials: dict[str, Any]) -> Path:
    """Have *credentials* in the auth file that ``RATTLER_AUTH_FILE`` names."""
    path = auth_file(folder / "auth.json", credentials)
    monkeypatch.setenv("RATTLER_AUTH_FILE", str(path))
    return path


# --- where it comes from ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["variable", "option"])
def test_a_stored_credential_opens_a_private_channel(
    login: Login, contents, tmp_path: Path, monkeypatch, keychain: Keychain, way: str
) -> None:
    """It goes with every request from the first on, so that nothing is asked twice; and it is nowhere in the report."""
    path = stored(tmp_path, monkeypatch, {HOST: login.stored})
    options = {}
    if way == "option":
        monkeypatch.delenv("RATTLER_AUTH_FILE")
        options = {"auth_file": path}
    with ReadableServer(contents, login=login) as server:
        report = attempt(
            server.channel_url, "boat", workdir=tmp_path, with_deps=True, lock=tmp_path / "boat.lock", **options
        )
    assert statuses(report) == BOTH
    assert {request.status for request in server.requests} == {200}
    assert len(server.credentials_seen()) == len(server.requests)
    assert keychain.asked == []
    leaks.check(json.dumps(report.to_json()), "the report")
    leaks.check((tmp_path / "boat.lock").read_bytes(), "the lock file")
    server.assert_clean()


def test_netrc_opens_a_private_channel(contents, tmp_path: Path, monkeypatch) -> None:
    """As for every other client."""
    login = Login("BasicHTTP", leaks.new_secret("netrc"))
    netrc = leaks.holds_secrets(tmp_path / "netrc")
    netrc.write_text(f"machine {HOST} login ann password {login.secret}\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with ReadableServer(contents, login=login) as server:
        assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True)) == BOTH


@pytest.mark.parametrize("kind", ["BearerToken", "BasicHTTP"])
def test_a_given_credential_goes_before_a_stored_one(contents, tmp_path: Path, monkeypatch, kind: str) -> None:
    """A token is sent as ``Bearer`` to a server of no known kind; a user and a password as ``Basic``."""
    login = Login(kind, leaks.new_secret("given"))
    stored(tmp_path, monkeypatch, {HOST: {"BearerToken": leaks.new_secret("stored")}})
    given = {"api_key": login.secret} if kind == "BearerToken" else {"username": "ann", "password": login.secret}
    with ReadableServer(contents, login=login) as server:
        assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True, **given)) == BOTH


SERVERS = {
    "PREFIX_API_KEY": PrefixServer,
    "ANACONDA_API_KEY": AnacondaServer,
    "QUETZ_API_KEY": QuetzServer,
    "ARTIFACTORY_TOKEN": ArtifactoryServer,
}


@pytest.mark.parametrize("variable", SERVERS)
@pytest.mark.parametrize("way", ["variable", "option"])
def test_every_channel_that_publish_writes_to_can_be_read(
    archives: list[Path], tmp_path: Path, monkeypatch, variable: str, way: str
) -> None:
    """By the same URL, with the same variable or option, where it is private."""
    token = leaks.new_secret("token")
    if way == "variable":
        monkeypatch.setenv(variable, token)
    with SERVERS[variable](token, private=True) as server:
        for path in archives:
            server.put(f"{keelback.inspect(path).subdir}/{path.name}", path.read_bytes())
        given = {"api_key": token} if way == "option" else {}
        report = attempt(server.publish_url, "boat", workdir=tmp_path, with_deps=True, **given)
        assert statuses(report) == BOTH
    assert not [request for request in server.requests if request.status in {401, 403}]


# --- who is asked -----------------------------------------------------------------------------------------------------


def test_a_public_channel_gets_no_credential_and_the_keychain_is_left_alone(
    contents, tmp_path: Path, keychain: Keychain
) -> None:
    """Nobody has to unlock anything to read what everybody may read."""
    keychain.entries[HOST] = {"BearerToken": leaks.new_secret("unneeded")}
    with ReadableServer(contents) as server:
        assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True)) == BOTH
        assert statuses(attempt(server.channel_url, workdir=tmp_path / "whole")) == {"boat-1.0-h0_0.conda": "fetched"}
    assert keychain.asked == []
    assert server.credentials_seen() == []


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("specs", [["boat"], []], ids=["spec", "subdir"])
def test_where_strangers_are_refused_the_keychain_is_asked(
    login: Login, contents, tmp_path: Path, keychain: Keychain, status: int, specs: list[str]
) -> None:
    """Once; also where the server does not even say that there is a channel."""
    keychain.entries[HOST] = login.stored
    with ReadableServer(contents, login=login, to_strangers=status) as server:
        report = attempt(server.channel_url, *specs, workdir=tmp_path)
    assert statuses(report) == {"boat-1.0-h0_0.conda": "fetched"}
    assert server.requests[0].status == status
    assert server.requests[-1].status == 200
    assert set(keychain.asked) == {HOST}


def test_where_strangers_see_less_the_keychain_is_left_alone_and_that_is_told(
    bearer: Login, archives: list[Path], contents, tmp_path: Path, keychain: Keychain
) -> None:
    """A channel that can be read without a credential is read without one; a package may be hidden from strangers."""
    keychain.entries[HOST] = bearer.stored
    with ReadableServer(contents, login=bearer, to_strangers=channel(archives[1])) as server:
        report = attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True)
        assert keychain.asked == []
        given = attempt(server.channel_url, "canoe", workdir=tmp_path, api_key=bearer.secret)
    assert problem(report).code == "no-match"
    assert "The keychain was not asked" in problem(report).hint
    assert "keychain" not in problem(given).hint


def hiding(contents: dict[str, Any], *subdirs: str) -> dict[str, Any]:
    """*contents* of a server that says of what it does not have that it may not be read, as S3 may."""
    paths = [f"{subdir}/{form}" for subdir in ("noarch", *subdirs) for form in FILES.values()]
    return {**dict.fromkeys(paths, 403), **contents}


@pytest.mark.parametrize("logged_in", [False, True], ids=["stranger", "logged in"])
@pytest.mark.parametrize("options", [{}, {"with_deps": True}], ids=["one", "with-deps"])
def test_what_a_server_refuses_may_not_be_there(
    bearer: Login, archives: list[Path], tmp_path: Path, monkeypatch, options: dict[str, Any], *, logged_in: bool
) -> None:
    """Each form of an index is tried, and a subdir is not there where noarch can be read as the same user."""
    contents = hiding(channel(archives[1], forms=["json"]), "linux-64", "osx-arm64")
    if logged_in:
        stored(tmp_path, monkeypatch, {HOST: bearer.stored})
    with ReadableServer(contents, login=bearer if logged_in else None) as server:
        report = attempt(server.channel_url, "hull", workdir=tmp_path, subdirs=["linux-64", "osx-arm64"], **options)
    assert statuses(report) == {"hull-1.0-h0_0.conda": "fetched"}


def test_a_server_that_refuses_everything_is_no_empty_channel(bearer: Login, tmp_path: Path, monkeypatch) -> None:
    """Whoever may read nothing is told so; that there is no noarch does not make the rest absent."""
    stored(tmp_path, monkeypatch, {HOST: bearer.stored})
    with ReadableServer(hiding({}, "linux-64"), login=bearer) as server:
        assert problem(attempt(server.channel_url, "hull", workdir=tmp_path, subdirs=["linux-64"])).code == "forbidden"
        for form in FILES.values():
            server.contents[f"noarch/{form}"] = 404
        assert problem(attempt(server.channel_url, "hull", workdir=tmp_path, subdirs=["linux-64"])).code == "forbidden"


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_where_strangers_are_refused_a_subdir_the_keychain_is_asked(
    bearer: Login, archives: list[Path], contents, tmp_path: Path, keychain: Keychain, *, known: bool
) -> None:
    """It may be there for those who are logged in; where nobody is, it is taken for one that is not."""
    if known:
        keychain.entries[HOST] = bearer.stored
    public = hiding(channel(archives[1]), "linux-64")
    with ReadableServer(contents, login=bearer, to_strangers=public) as server:
        report = attempt(server.channel_url, "boat" if known else "hull", workdir=tmp_path, subdirs=["linux-64"])
    assert keychain.asked
    assert set(statuses(report).values()) == {"fetched"}


def test_only_the_channel_that_refuses_strangers_has_the_keychain_asked(
    bearer: Login, archives: list[Path], contents, tmp_path: Path, keychain: Keychain
) -> None:
    """Another channel of the same run, which everybody may read, gets no credential."""
    keychain.entries = {HOST: {"BearerToken": leaks.new_secret("unneeded")}, "localhost": bearer.stored}
    with ReadableServer(channel(archives[1])) as public, ReadableServer(channel(archives[0]), login=bearer) as private:
        there = private.channel_url.replace(HOST, "localhost")
        report = attempt(there, "boat", workdir=tmp_path, with_deps=True, channels=[public.channel_url])
    assert statuses(report) == BOTH
    assert public.credentials_seen() == []
    assert set(keychain.asked) == {"localhost"}


@pytest.mark.parametrize("status", [401, 403])
def test_where_only_archives_are_private_the_keychain_is_asked(
    bearer: Login, contents, tmp_path: Path, keychain: Keychain, status: int
) -> None:
    """The index may be for everybody."""
    keychain.entries[HOST] = bearer.stored
    index = {path: content for path, content in contents.items() if "repodata" in path or "/shards/" in path}
    index |= {path: status for path in contents if path not in index}
    with ReadableServer(contents, login=bearer, to_strangers=index) as server:
        assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True)) == BOTH


def test_where_a_credential_is_given_the_keychain_is_not_asked(
    bearer: Login, contents, tmp_path: Path, keychain: Keychain
) -> None:
    """Neither for a package that is not there, nor for an archive that is gone."""
    keychain.entries[HOST] = {"BearerToken": leaks.new_secret("other")}
    with ReadableServer(contents, login=bearer) as server:
        report = attempt(server.channel_url, "canoe", workdir=tmp_path, api_key=bearer.secret)
        server.plan(Fault("status", when="archive", status=404, times=None))
        gone = attempt(server.channel_url, "boat", workdir=tmp_path, api_key=bearer.secret)
    assert problem(report).code == "no-match"
    assert statuses(gone) == {"boat-1.0-h0_0.conda": "failed"}
    assert len(server.of_step("archive")) == 1
    assert keychain.asked == []


def test_a_keychain_that_is_switched_off_is_not_asked(bearer: Login, contents, tmp_path: Path, keychain) -> None:
    """``--no-keychain``."""
    keychain.entries[HOST] = bearer.stored
    with ReadableServer(contents, login=bearer) as server:
        report = attempt(server.channel_url, "boat", workdir=tmp_path, keychain=False)
    assert report.exit_status == ExitStatus.CREDENTIAL
    assert keychain.asked == []


def test_a_package_that_nobody_has_is_missing_for_those_who_are_logged_in_too(
    bearer: Login, contents, tmp_path: Path, keychain: Keychain
) -> None:
    """The error is that of the second look."""
    keychain.entries[HOST] = bearer.stored
    with ReadableServer(contents, login=bearer) as server:
        report = attempt(server.channel_url, "canoe", workdir=tmp_path)
    assert problem(report).code == "no-match"


# --- what is said where it fails --------------------------------------------------------------------------------------


def test_where_there_is_no_credential_the_way_to_one_is_told(contents, bearer: Login, tmp_path: Path) -> None:
    """Exit status 3, the host, the channel and the command to log in, in few words."""
    with ReadableServer(contents, login=bearer, challenge='Digest realm="x, Basic y", Bearer') as server:
        found = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert found.exit_status == ExitStatus.CREDENTIAL
    assert problem(found).code == "no-credential"
    assert problem(found).message == (
        f"{HOST} wants a credential (401; it takes Bearer) to read {server.channel_url}, and there is none for it"
    )
    assert problem(found).hint == (
        f"Log in with: keelback auth login {server.channel_url}; "
        f"keelback auth check {server.channel_url} shows where it was looked."
    )
    assert files(tmp_path) == []


def test_where_strangers_are_not_allowed_that_is_said(contents, bearer: Login, tmp_path: Path) -> None:
    """403 without a credential is no wrong credential."""
    with ReadableServer(contents, login=bearer, to_strangers=403) as server:
        found = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert problem(found).code == "no-credential"
    assert "refuses to let an anonymous user read" in problem(found).message


@pytest.mark.parametrize("status", [401, 403])
def test_a_bucket_that_strangers_may_not_read_is_named_as_one(status: int) -> None:
    """By its web address it gets no credential of its cloud; by its own it does."""
    url = "https://acme.s3.eu-west-1.amazonaws.com/ch"
    index = f"{url}/noarch/repodata.json"
    with Client() as client:
        error = Reader(url, Session(client, list, environ={})).error(Answer(status, {}, b"", index), index)
    assert isinstance(error, CredentialError)
    assert "s3://acme/ch, with --region eu-west-1" in error.hint


def test_keys_for_a_bucket_are_not_sent_to_a_web_server(contents, bearer: Login, tmp_path: Path, monkeypatch) -> None:
    """And whoever has stored them under the host is told so."""
    keys = {"access_key_id": "AK", "secret_access_key": leaks.new_secret("s3")}
    stored(tmp_path, monkeypatch, {HOST: {"S3Credentials": keys}})
    with ReadableServer(contents, login=bearer) as server:
        found = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert f"the S3 keys under key '{HOST}'" in problem(found).message
    assert "not sent to a web server" in problem(found).message


@pytest.mark.parametrize(("offered", "told"), [("Bearer", False), ("Basic", True)])
def test_a_given_credential_that_is_refused_is_told_by_its_option(
    contents, bearer: Login, tmp_path: Path, offered: str, *, told: bool
) -> None:
    """``auth check`` knows nothing of it; what the server takes is said where something else was sent."""
    with ReadableServer(contents, login=bearer, challenge=offered) as server:
        wrong = leaks.holds_secrets(tmp_path / "wrong")
        wrong.write_text(leaks.new_secret("wrong"), encoding="utf-8")
        done = run_keelback(
            ["fetch", server.channel_url, "boat", "--subdir", "linux-64", "--json", "--api-key-file", wrong]
        )
    error = done.json()["error"]
    assert error["hint"] == "Check the value of --api-key-file, or leave it out to use what is stored."
    assert ("it takes Basic" in error["message"]) == told
    assert "it takes Bearer" not in error["message"]


@pytest.mark.parametrize("place", ["url", "index", "whole", "deps"])
@pytest.mark.parametrize("way", ["/t/{}", "userinfo"])
def test_a_credential_that_an_index_has_in_its_urls_goes_nowhere(
    archives: list[Path], tmp_path: Path, monkeypatch, place: str, way: str
) -> None:
    """Neither to the report nor into the lock file; the archives get what is stored for their host."""
    login = Login("CondaToken" if way == "/t/{}" else "BasicHTTP", leaks.new_secret("in-the-index"))
    stored(tmp_path, monkeypatch, {HOST: login.stored})
    with ReadableServer(login=login) as server:
        where = f"http://{HOST}:{server.port}/t/{login.secret}/chan/{{}}/"
        if way == "userinfo":
            where = f"http://ann:{login.secret}@{HOST}:{server.port}/chan/{{}}/"
        forms = {"url": ["json"], "whole": ["zst"]}.get(place, ["shards"])
        shards = {"shards_base_url": where.format("linux-64") + "shards/"} if place == "index" else {}
        server.contents = channel(archives[0], forms=forms, base_url=where.format("linux-64"), **shards)
        server.contents |= channel(archives[1], forms=forms)
        report = attempt(
            server.channel_url,
            *(() if place == "whole" else ("boat",)),
            workdir=tmp_path,
            with_deps=place == "deps",
            lock=tmp_path / "boat.lock",
        )
    assert set(statuses(report).values()) == {"fetched"}
    assert f"http://{HOST}:{server.port}/chan/linux-64/{archives[0].name}" in {found.url for found in report.outcomes}
    leaks.check(json.dumps(report.to_json()), "the report")
    leaks.check((tmp_path / "boat.lock").read_bytes(), "the lock file")


def test_a_variable_counts_only_where_the_url_names_the_kind_of_server(
    archives: list[Path], tmp_path: Path, monkeypatch
) -> None:
    """Anybody can make a URL that looks like that of an Artifactory; the error tells how to have it used."""
    token = leaks.new_secret("artifactory")
    monkeypatch.setenv("ARTIFACTORY_TOKEN", token)
    with ArtifactoryServer(token, private=True) as server:
        for path in archives:
            server.put(f"{keelback.inspect(path).subdir}/{path.name}", path.read_bytes())
        url = server.publish_url.partition("+")[2]
        report = attempt(url, "boat", workdir=tmp_path)
        given = attempt(url, "boat", workdir=tmp_path, api_key=token)
        named = attempt(f"artifactory+{url}", "boat", workdir=tmp_path / "named")
    assert problem(report).code == "no-credential"
    assert "ARTIFACTORY_TOKEN is set" in problem(report).hint
    assert f"artifactory+{url}" in problem(report).hint
    assert statuses(given) == statuses(named) == {"boat-1.0-h0_0.conda": "fetched"}


def test_a_storage_that_refuses_is_no_fault_of_the_credential(
    bearer: Login, archives: list[Path], contents, tmp_path: Path, monkeypatch
) -> None:
    """The channel took it, and led on to where it is not sent; the other archives are tried all the same."""
    stored(tmp_path, monkeypatch, {HOST: bearer.stored})
    with ReadableServer(contents, login=bearer) as storage:
        contents[f"linux-64/{archives[0].name}"] = f"{storage.channel_url}/linux-64/{archives[0].name}"
        with ReadableServer(contents, login=bearer) as server:
            report = attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True, jobs=1)
    assert statuses(report) == {"boat-1.0-h0_0.conda": "failed", "hull-1.0-h0_0.conda": "fetched"}
    (error,) = [outcome.error for outcome in report.outcomes if outcome.error is not None]
    assert (error.code, report.exit_status) == ("server", ExitStatus.FAILED)
    assert "redirected" in error.message


def test_a_token_comes_from_standard_input(contents, bearer: Login, tmp_path: Path) -> None:
    """``--api-key -``; on the command line itself it is in the list of processes, which is told."""
    with ReadableServer(contents, login=bearer) as server:
        arguments = ["fetch", server.channel_url, "boat", "--subdir", "linux-64", "-o", tmp_path, "--api-key"]
        piped = run_keelback([*arguments, "-"], input=f"{bearer.secret}\n")
        shown = run_keelback([*arguments, bearer.secret])
        both = run_keelback([*arguments, "-", "--password", "-"], input="one\ntwo\n")
    assert (piped.returncode, piped.stderr) == (0, "")
    assert (shown.returncode, shown.stderr.count("\n")) == (0, 1)
    assert "process list" in shown.stderr
    assert both.returncode == ExitStatus.USAGE


def test_credentials_see_what_was_kept_for_them_alone(contents, bearer: Login, tmp_path: Path, monkeypatch) -> None:
    """Of one channel, each has a copy of its own in the cache."""
    stored(tmp_path, monkeypatch, {HOST: bearer.stored})
    with ReadableServer(contents, login=bearer) as server:
        attempt(server.channel_url, "boat", workdir=tmp_path)
        kept = len(list((tmp_path / "cache").rglob("*.note")))
        attempt(server.channel_url, "boat", workdir=tmp_path, api_key=bearer.secret)
    assert len(list((tmp_path / "cache").rglob("*.note"))) == 2 * kept


@pytest.mark.parametrize("when", ["index", "archive"])
def test_a_refused_credential_is_told_with_its_store_and_stops_the_run(
    login: Login, contents, tmp_path: Path, monkeypatch, when: str
) -> None:
    """401: exit status 3, the key and the file it came from; nothing more is tried with it."""
    path = stored(tmp_path, monkeypatch, {HOST: login.stored})
    with ReadableServer(contents, login=login) as server:
        server.plan(Fault("status", when=when, status=401, times=None))
        report = attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True, jobs=1)
    assert report.exit_status == ExitStatus.CREDENTIAL
    error = report.error or report.channels[0].error
    assert error.code == "credential-refused"
    assert str(path) in error.message
    assert "keelback auth check" in error.hint
    if when == "archive":
        assert sorted(outcome.status for outcome in report.outcomes) == ["failed", "not-attempted"]
        assert len(server.of_step("archive")) == 1


@pytest.mark.parametrize("when", ["index", "archive"])
def test_a_credential_that_may_not_read_is_no_wrong_credential(
    bearer: Login, contents, tmp_path: Path, monkeypatch, when: str
) -> None:
    """403: exit status 1, and whom to ask."""
    stored(tmp_path, monkeypatch, {HOST: bearer.stored})
    with ReadableServer(contents, login=bearer) as server:
        server.plan(Fault("status", when=when, status=403, times=None))
        report = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert report.exit_status == ExitStatus.FAILED
    error = report.error or report.outcomes[0].error
    assert error.code == "forbidden"
    assert "owner" in error.hint


def test_the_command_ends_with_the_status_for_credentials(contents, bearer: Login, tmp_path: Path) -> None:
    """Plain lines for a person, and a document for a program."""
    with ReadableServer(contents, login=bearer) as server:
        plain = run_keelback(["fetch", server.channel_url, "boat", "--subdir", "linux-64", "--no-keychain"])
        told = run_keelback(["fetch", server.channel_url, "boat", "--subdir", "linux-64", "--no-keychain", "--json"])
        key = leaks.holds_secrets(tmp_path / "key")
        key.write_text(bearer.secret, encoding="utf-8")
        good = run_keelback(
            ["fetch", server.channel_url, "boat", "--subdir", "linux-64", "-vv", "--api-key-file", key, "-o", tmp_path]
        )
    assert (plain.returncode, told.returncode, good.returncode) == (3, 3, 0), good.stderr
    assert f"keelback auth login {server.channel_url}" in plain.stderr
    assert told.json()["error"]["code"] == "no-credential"


# --- where it does not go ---------------------------------------------------------------------------------------------


def test_a_redirect_to_another_origin_is_followed_without_the_secret(
    login: Login, archives: list[Path], contents, tmp_path: Path, monkeypatch
) -> None:
    """Packages are in some storage, whose URL is signed; no header of ours goes there."""
    stored(tmp_path, monkeypatch, {HOST: login.stored})
    with ReadableServer({f"noarch/{archives[1].name}": archives[1].read_bytes()}) as storage:
        contents[f"noarch/{archives[1].name}"] = f"{storage.channel_url}/noarch/{archives[1].name}?signature=x"
        with ReadableServer(contents, login=login) as server:
            assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True)) == BOTH
    assert storage.steps() == ["archive"]
    assert storage.credentials_seen() == []


def test_a_redirect_of_an_index_is_followed_without_the_secret(login: Login, contents, tmp_path: Path, monkeypatch):
    """And a trap at its end gets nothing, and is not believed."""
    stored(tmp_path, monkeypatch, {HOST: login.stored})
    with Trap() as trap:
        contents["linux-64/repodata.json.zst"] = f"{trap.url}/here"
        with ReadableServer(contents, login=login) as server:
            report = attempt(server.channel_url, workdir=tmp_path)
    assert problem(report).code == "bad-index"
    assert trap.steps() == ["trap"]
    leaks.check(trap.heard(), "what the trap heard")


def test_archives_on_another_host_get_that_hosts_own_credential(
    archives: list[Path], tmp_path: Path, monkeypatch
) -> None:
    """By the key of the host that each URL names."""
    first, second = Login("BearerToken", leaks.new_secret("one")), Login("CondaToken", leaks.new_secret("two"))
    stored(tmp_path, monkeypatch, {HOST: first.stored, "localhost": second.stored})
    there = {f"files/{path.name}": path.read_bytes() for path in archives}
    with ReadableServer(there, login=second) as other:
        where = f"http://localhost:{other.port}/chan/files/"
        with ReadableServer(channel(*archives, base_url=where), login=first) as server:
            assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True)) == BOTH
    assert {request.status for request in [*server.requests, *other.requests]} == {200}
    assert not [request for request in other.requests if request.header("authorization")]


def test_a_given_credential_goes_to_the_channels_own_origin_only(
    bearer: Login, archives: list[Path], tmp_path: Path
) -> None:
    """Neither to another host nor to another port of the same."""
    with ReadableServer({f"files/{path.name}": path.read_bytes() for path in archives}) as other:
        contents = channel(*archives, base_url=f"{other.channel_url}/files/")
        with ReadableServer(contents, login=bearer) as server:
            report = attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True, api_key=bearer.secret)
    assert statuses(report) == BOTH
    assert other.credentials_seen() == []


def test_a_lock_file_gets_its_credentials_anew(login: Login, contents, tmp_path: Path, monkeypatch) -> None:
    """They are not in it; whoever has one for the host can use it, and for others it is of no use."""
    path = stored(tmp_path, monkeypatch, {HOST: login.stored})
    with ReadableServer(contents, login=login) as server:
        attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True, lock=tmp_path / "boat.lock")
        again = keelback.fetch_locked(tmp_path / "boat.lock", to=tmp_path / "again", retry=QUICK)
        path.write_text("{}", encoding="utf-8")
        refused = keelback.fetch_locked(tmp_path / "boat.lock", to=tmp_path / "refused", retry=QUICK)
    assert statuses(again) == BOTH
    assert refused.exit_status == ExitStatus.CREDENTIAL
    assert files(tmp_path / "refused") == []


def test_a_given_credential_is_for_a_lock_file_of_one_channel(contents, bearer: Login, tmp_path: Path) -> None:
    """It goes to that channel; where there are several, nobody knows for which it is meant."""
    lock, key = tmp_path / "boat.lock", leaks.holds_secrets(tmp_path / "key")
    key.write_text(bearer.secret, encoding="utf-8")
    with ReadableServer(contents, login=bearer) as server:
        attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True, lock=lock, api_key=bearer.secret)
        done = run_keelback(["fetch", "--locked", lock, "-o", tmp_path / "again", "--api-key-file", key])
        assert done.returncode == 0, done.stderr
        since = len(server.requests)
        last = lock.read_text(encoding="utf-8").splitlines()[-1]
        with lock.open("a", encoding="utf-8") as file:
            file.write(last.replace("/chan/", "/other/") + "\n")
        with pytest.raises(keelback.UsageError, match="would go to 2 channels"):
            keelback.fetch_locked(lock, to=tmp_path / "several", api_key=bearer.secret)
        assert len(server.requests) == since


def test_a_lock_file_may_use_the_keychain(bearer: Login, contents, tmp_path: Path, keychain: Keychain) -> None:
    """Where the server refuses strangers."""
    keychain.entries[HOST] = bearer.stored
    with ReadableServer(contents, login=bearer) as server:
        attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True, lock=tmp_path / "boat.lock")
        again = keelback.fetch_locked(tmp_path / "boat.lock", to=tmp_path / "again", retry=QUICK)
    assert statuses(again) == BOTH


def test_what_was_kept_of_a_private_channel_is_not_shown_to_strangers(
    bearer: Login, archives: list[Path], contents, tmp_path: Path, monkeypatch
) -> None:
    """One cache, and two answers: each sees what the server shows to it, in whatever order they come."""
    path = stored(tmp_path, monkeypatch, {HOST: bearer.stored})
    with ReadableServer(contents, login=bearer, to_strangers=channel(archives[1])) as server:
        for _ in range(2):
            path.write_text(json.dumps({HOST: bearer.stored}), encoding="utf-8")
            assert problem_or_statuses(attempt(server.channel_url, workdir=tmp_path, force=True)) == {
                "boat-1.0-h0_0.conda"
            }
            path.write_text("{}", encoding="utf-8")
            assert problem_or_statuses(attempt(server.channel_url, workdir=tmp_path)) == "no-channel"


def problem_or_statuses(report: keelback.Report) -> set[str] | str:
    """The code of what went wrong, or the files that came."""
    return set(statuses(report)) if report.error is None else report.error.code
