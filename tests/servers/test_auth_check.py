"""``keelback auth check``: which credential a URL gets, and whether its server takes it."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from cli_runner import run_keelback
from keelback.diagnosis import mistakes

from .scripted import Answer, Fault, PrefixServer, ScriptedServer, route
from .scripted.cloudsmith import CloudsmithServer
from .scripted.identities import IdentityServer

if TYPE_CHECKING:
    from pathlib import Path

    from .scripted import Exchange

EMPTY = b'{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{},"removed":[],"repodata_version":1}'


class GuardedServer(ScriptedServer):
    """A channel ``chan`` that a credential opens.

    Args:
        accepts: the value of Authorization that does, or the ``/t/TOKEN`` at the path's beginning; ``None``: everybody
            is let in who sends none.
        challenge: the ``WWW-Authenticate`` of a refusal.
        moved: the URL to which everybody is redirected.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, accepts: str | None, *, challenge: str = "", moved: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._accepts = accepts
        self._challenge = challenge
        self._moved = moved

    @route("GET HEAD", r"(?P<token>/t/[^/]+)?/chan/noarch/repodata\.json", step="index")
    def index(self, exchange: Exchange, token: str) -> Answer:
        """The index, or a refusal."""
        if self._moved:
            return Answer(302, headers=[("Location", self._moved)])
        given = token or exchange.recorded.header("authorization")
        if given == self._accepts:
            return Answer(200, EMPTY, [("Content-Type", "application/json")])
        headers = [("WWW-Authenticate", self._challenge)] if self._challenge else []
        return Answer(401, b'{"detail": "you may not"}', headers)

    def not_found(self, _exchange: Exchange) -> Answer:
        """Anything else may be asked for."""
        return self.refusal(404, "not found")


def auth_file(tmp_path: Path, content: object, name: str = "auth.json") -> Path:
    """An auth file that nobody else can read."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o600)
    return leaks.holds_secrets(path)


def check(
    url: str, home: Path, auth: Path | None, exit_status: int, *, text: str = "", **variables: str
) -> dict[str, Any]:
    """The document of ``keelback auth check URL --json``; what a person reads says the same, and *text*, if given.

    It runs in *home*.
    """
    env = {"KEELBACK_NO_KEYCHAIN": "1", **({"RATTLER_AUTH_FILE": str(auth)} if auth else {}), **variables}
    done = run_keelback(["auth", "check", url, "--json", "--timeout", "5"], home=home, env=env)
    assert (done.returncode, done.stderr) == (exit_status, ""), done.stdout
    document = done.json()
    if text:
        shown = run_keelback(["auth", "check", url, "--timeout", "5"], home=home, env=env)
        assert shown.returncode == exit_status
        assert shown.stdout.rstrip().endswith(document["verdict"])
        assert text in shown.stdout
    return document


def codes(document: dict[str, Any]) -> list[str]:
    """The codes of what is wrong."""
    return [finding["code"] for finding in document["findings"]]


def sent(document: dict[str, Any]) -> list[tuple[str, str | None, int | None]]:
    """What was sent, with which credential, and the status of the answer."""
    return [(asked["method"], asked["sent"], asked["status"]) for asked in document["requests"]]


def test_a_credential_that_opens_the_channel_is_explained_from_key_to_answer(tmp_path: Path, token: str):
    """Stores, keys, the match, what was sent and said: nothing of it secret."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": token}})
    with GuardedServer(f"Bearer {token}") as server:
        document = check(f"{server.url}/chan", tmp_path, auth, 0, text="with Authorization: Bearer ****, answered 200")
    assert document["verdict"].startswith("The channel can be read with the bearer token of RATTLER_AUTH_FILE")
    assert (document["host"], document["read"], document["upload"]) == ("127.0.0.1", True, None)
    assert document["match"] == {"store": f"RATTLER_AUTH_FILE ({auth})", "key": "127.0.0.1", "kind": "BearerToken"}
    assert sent(document) == [("HEAD", None, 401), ("GET", None, 401), ("HEAD", "Authorization: Bearer ****", 200)]
    assert document["requests"][1]["said"] == "you may not"
    assert codes(document) == []


def test_a_channel_for_everybody_needs_no_credential(tmp_path: Path):
    """Exit status 0 without any."""
    with GuardedServer(None) as server:
        document = check(f"{server.url}/chan", tmp_path, None, 0)
    assert document["verdict"] == "Everybody can read this channel; no credential is needed."
    assert (document["match"], sent(document)) == (None, [("HEAD", None, 200)])


def test_a_refused_credential_is_told_even_where_everybody_may_read(tmp_path: Path, token: str):
    """The tools of the rattler family send it all the same, and fail."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": token}})
    with GuardedServer(None) as server:
        document = check(f"{server.url}/chan", tmp_path, auth, 3)
    assert document["read"] is True
    assert "Everybody can read the channel without it, but tools that send it are refused" in document["verdict"]


def test_no_credential_comes_with_what_the_server_offers_and_how_to_log_in(tmp_path: Path):
    """Exit status 3."""
    with GuardedServer("Basic x", challenge='Basic realm="a, b", Negotiate') as server:
        document = check(f"{server.url}/chan", tmp_path, None, 3)
    assert "(it offers Basic and Negotiate)" in document["verdict"]
    assert document["verdict"].endswith(f"Log in with: keelback auth login {server.url}")


def test_the_wrong_kind_is_told_from_what_the_server_offers(tmp_path: Path, token: str):
    """RFC 9110, section 11.6.1: several challenges in one field."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": token}})
    with GuardedServer("Basic x", challenge='Negotiate, Basic realm="x", charset="UTF-8"') as server:
        document = check(
            f"{server.url}/chan", tmp_path, auth, 3, text="hint: Log in with: keelback auth login http://127.0.0.1:"
        )
    assert codes(document) == ["wrong-kind"]
    assert "offers Basic, and what is stored is a BearerToken" in document["findings"][0]["message"]
    assert "--username NAME" in document["findings"][0]["hint"]


def test_an_expired_token_is_called_expired(tmp_path: Path):
    """A JSON Web Token says so itself."""
    claims = base64.urlsafe_b64encode(b'{"exp": 1600000000}').decode().rstrip("=")
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": f"e30.{claims}.{leaks.new_secret('signature')}"}})
    with GuardedServer("Bearer another", challenge="Bearer") as server:
        document = check(f"{server.url}/chan", tmp_path, auth, 3)
    assert codes(document) == ["expired"]
    assert "has expired, and is refused" in document["verdict"]


def test_a_login_that_has_expired_is_told_once_and_not_sent(tmp_path: Path, token: str):
    """Without a refresh token nobody can renew it; no request with it is in the account."""
    login = {"access_token": token, "token_endpoint": "https://x.invalid", "client_id": "x", "expires_at": 1600000000}
    auth = auth_file(tmp_path, {"127.0.0.1": {"OAuth": login}})
    with GuardedServer("Bearer another") as server:
        document = check(f"{server.url}/chan", tmp_path, auth, 3)
    assert codes(document) == ["expired"]
    assert document["findings"][0]["message"].startswith("the OAuth login expired")
    assert document["verdict"].startswith("The OAuth login of RATTLER_AUTH_FILE")
    assert {what for _, what, _ in sent(document)} == {None}


def test_commas_in_quotes_separate_no_challenges(tmp_path: Path):
    """RFC 9110, section 5.6.4: what is between quotes is one value."""
    with GuardedServer("Bearer x", challenge='Digest realm="x, Basic auth", Bearer realm="y"') as server:
        document = check(f"{server.url}/chan", tmp_path, None, 3)
    assert "(it offers Digest and Bearer)" in document["verdict"]


@pytest.mark.parametrize("key", ["127.0.0.1:{port}", "http://127.0.0.1", "127.0.0.1/chan", "127.1"])
def test_a_key_that_never_matches_comes_with_the_one_that_would(tmp_path: Path, token: str, key: str):
    """A port, a scheme, a path, another spelling."""
    with GuardedServer(f"Bearer {token}") as server:
        auth = auth_file(tmp_path, {key.format(port=server.port): {"BearerToken": token}})
        document = check(f"{server.url}/chan", tmp_path, auth, 3)
    assert codes(document) == ["dead-key"]
    assert document["findings"][0]["hint"] == "Write '127.0.0.1' in its place."


def test_a_token_in_quotes_is_not_sent(tmp_path: Path, token: str):
    """It is said what is wrong with it, and nothing of it shown."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": f'"{token}"'}})
    with GuardedServer(f"Bearer {token}") as server:
        document = check(f"{server.url}/chan", tmp_path, auth, 3)
    assert codes(document) == ["bad-token"]
    assert document["verdict"] == "The channel wants a credential, and the one that is stored cannot be used."


def test_a_file_that_nobody_reads_is_found(tmp_path: Path, token: str):
    """The variable is unset, and the file is where people have it."""
    path = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": token}}, ".rattler/rattler_auth_store.json")
    with GuardedServer(f"Bearer {token}") as server:
        document = check(f"{server.url}/chan", tmp_path, None, 3)
    assert codes(document) == ["unread-file"]
    assert document["findings"][0]["hint"].startswith(f"Set RATTLER_AUTH_FILE={path}")


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have such files")
def test_a_pipe_with_the_name_of_an_auth_file_holds_up_nobody(tmp_path: Path):
    """Opening it would wait for whoever writes into it."""
    os.mkfifo(tmp_path / "auth.json")
    with GuardedServer("Bearer x") as server:
        document = check(f"{server.url}/chan", tmp_path, None, 3)
    assert codes(document) == []


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have such files")
def test_a_file_of_another_user_is_not_recommended(tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch):
    """Whoever follows such advice sends what somebody else chose."""
    auth_file(tmp_path, {"example.com": {"BearerToken": token}}, ".rattler/rattler_auth_store.json")
    found = [problem.code for problem in mistakes.unread_files("https://example.com", {}, tmp_path)]
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert (found, list(mistakes.unread_files("https://example.com", {}, tmp_path))) == (["unread-file"], [])


def test_no_key_steers_the_terminal(tmp_path: Path, token: str):
    """Escape sequences in a key are not printed, neither where it stands nor in what is said of it."""
    auth = auth_file(
        tmp_path, {"\x1b]0;PWNED\x07127.0.0.1/chan": {"BearerToken": token}, "a\nb.com": {"CondaToken": token}}
    )
    env = {"RATTLER_AUTH_FILE": str(auth)}
    for command in (["status"], ["check", "http://127.0.0.1:9/chan"], ["check", "b.com"]):
        done = run_keelback(["auth", *command], home=tmp_path, env=env)
        assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())
        assert not any(line.startswith("b.com") for line in done.stdout.splitlines())


def test_a_malformed_file_is_named_and_the_rest_is_told_all_the_same(tmp_path: Path, token: str):
    """Every command stops there, so the exit status is 3 although the channel answers."""
    auth = auth_file(tmp_path, '{"127.0.0.1": {"BearerTocken": "x"}}')
    with GuardedServer(None) as server:
        document = check(f"{server.url}/chan", tmp_path, auth, 3)
    assert codes(document) == ["bad-credential-file"]
    assert "line 1, column 2" in document["findings"][0]["message"]
    assert document["read"] is True


def test_another_entry_that_is_never_reached_is_named(tmp_path: Path, token: str):
    """The same key in a later store."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": token}})
    auth_file(tmp_path, {"127.0.0.1": {"BearerToken": leaks.new_secret("later")}}, ".rattler/credentials.json")
    with GuardedServer(f"Bearer {token}") as server:
        document = check(f"{server.url}/chan", tmp_path, auth, 0)
    assert codes(document) == ["shadowed"]


def test_a_credential_for_the_domain_alone_is_a_near_miss(tmp_path: Path, token: str):
    """No answer comes from there; that the key is for another host can be said without one."""
    auth = auth_file(tmp_path, {"example.invalid": {"BearerToken": token}})
    document = check("https://repo.example.invalid/chan", tmp_path, auth, 1)
    assert codes(document)[0] == "near-miss"
    assert "'*.example.invalid'" in document["findings"][0]["hint"]


def test_a_redirect_to_another_origin_loses_the_credential_and_it_says_so(tmp_path: Path, token: str):
    """The other server refuses whoever comes without one."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": token}})
    with GuardedServer(f"Bearer {token}") as other:
        moved = f"{other.url}/chan/noarch/repodata.json"
        with GuardedServer("", moved=moved) as server:
            document = check(f"{server.url}/chan", tmp_path, auth, 3)
    assert f"redirects to {other.url}, where the credential does not go" in document["verdict"]
    assert all(request.header("authorization") is None for request in other.requests)


def test_a_conda_token_goes_into_the_path_and_is_not_shown(tmp_path: Path, token: str):
    """``/t/TOKEN/`` at its root."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"CondaToken": token}})
    with GuardedServer(f"/t/{token}") as server:
        document = check(f"{server.url}/chan", tmp_path, auth, 0)
    assert ("HEAD", "/t/****/ in the path", 200) in sent(document)


@pytest.mark.parametrize("form", ["http://{host}/t/{token}/chan", "http://ann:{token}@{host}/chan"])
def test_a_secret_in_the_url_is_used_and_not_shown(tmp_path: Path, token: str, form: str):
    """It ends up in logs, and that is said."""
    basic = base64.b64encode(f"ann:{token}".encode()).decode()
    with GuardedServer(f"/t/{token}" if "/t/" in form else f"Basic {basic}") as server:
        url = form.format(host=f"127.0.0.1:{server.port}", token=token)
        document = check(url, tmp_path, None, 0, text="from the URL itself")
    assert codes(document) == ["secret-in-url"]
    assert document["match"]["store"] == "the URL itself"


def test_the_server_of_prefix_dev_tells_whose_token_it_is(tmp_path: Path, token: str):
    """By GraphQL's viewer; what it permits it does not tell."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": token}})
    with PrefixServer(token, private=True) as server:
        document = check(server.publish_url, tmp_path, auth, 0)
        assert (document["identity"], document["read"], document["upload"]) == ("ann", True, None)
        server.assert_clean()


def test_the_variable_of_the_server_takes_precedence_over_the_stores(tmp_path: Path, token: str):
    """As it does for publish and fetch."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": leaks.new_secret("stored")}})
    with PrefixServer(token, private=True) as server:
        document = check(server.publish_url, tmp_path, auth, 0, PREFIX_API_KEY=token)
    assert document["match"] == {"store": "the variable PREFIX_API_KEY", "key": None, "kind": "BearerToken"}


def test_anaconda_org_is_asked_whose_token_it_is_as_its_own_client_asks(tmp_path: Path, token: str):
    """With the headers that its API wants on every request."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"CondaToken": token}})
    with IdentityServer(token, scopes=["conda:download"]) as server:
        document = check(f"anaconda+{server.url}/api/ann", tmp_path, auth, 1)
        asked = [request for request in server.requests if request.path in {"/api/user", "/api/authentication"}]
    assert (document["identity"], document["upload"]) == ("ann", False)
    assert {(each.header("accept"), each.header("x-binstar-api-version")) for each in asked} == {
        ("application/json", "1.12.2")
    }


def test_artifactory_takes_no_conda_token(tmp_path: Path, token: str):
    """It is not sent to where one would ask whose it is."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"CondaToken": token}})
    with IdentityServer(token) as server:
        document = check(f"{server.url}/artifactory/repo", tmp_path, auth, 1)
    assert codes(document) == ["wrong-kind"]
    assert document["identity"] is None
    assert "ping" not in server.steps()


def test_a_token_in_the_place_of_a_user_name_is_not_shown(tmp_path: Path):
    """By its shape, or by the password that stands beside it: in the list, and where a server tells whose it is."""
    token, shaped = leaks.new_secret("user"), f"ghp_{leaks.new_secret('shaped')}"
    names = leaks.holds_secrets(tmp_path / "netrc")
    names.write_text(
        f"machine a.example.com login {token} password x-oauth-basic\nmachine 127.0.0.1 login {shaped} password x\n"
    )
    names.chmod(0o600)
    done = run_keelback(["auth", "status"], home=tmp_path, env={"NETRC": str(names)})
    assert done.stdout.count(", user ****;") == 2
    with IdentityServer("x") as server:
        document = check(f"{server.url}/artifactory/repo", tmp_path, None, 1, NETRC=str(names))
    assert document["identity"] == "****"


def test_prefix_dev_takes_no_conda_token(tmp_path: Path, token: str):
    """That is known without a word of the server."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"CondaToken": token}})
    with PrefixServer(leaks.new_secret("right"), private=True) as server:
        document = check(server.publish_url, tmp_path, auth, 3)
    assert "wrong-kind" in codes(document)
    assert document["verdict"].endswith("is of a kind that this server does not take.")


@pytest.mark.parametrize("kind", ["CondaToken", "BearerToken", "BasicHTTP", "variable"])
def test_a_key_for_cloudsmith_is_tried_as_packages_are_read_with_it(tmp_path: Path, token: str, kind: str):
    """As the password of the user ``token``; a pair that is stored as such does not count as one of a wrong kind."""
    stored: Any = {"username": "token", "password": token} if kind == "BasicHTTP" else token
    auth = None if kind == "variable" else auth_file(tmp_path, {"127.0.0.1": {kind: stored}})
    with CloudsmithServer(token, private=True) as server:
        server.put("noarch/repodata.json", EMPTY)
        variables = {"CLOUDSMITH_API_URL": server.api_url, "CLOUDSMITH_CHANNEL_HOST": server.url}
        if auth is None:
            variables["CLOUDSMITH_API_KEY"] = token
        document = check("cloudsmith://my-org/my-repo", tmp_path, auth, 0, text="   read: yes\n", **variables)
        server.assert_clean()
    assert ("HEAD", "Authorization: Basic ****", 200) in sent(document)
    assert (document["read"], codes(document)) == (True, [])
    assert document["match"]["kind"] == ("CondaToken" if kind == "variable" else kind)
    assert document["match"]["key"] == (None if kind == "variable" else "127.0.0.1")
    assert document["identity"] == (None if kind == "BasicHTTP" else "ann")


def test_a_token_of_cloudsmith_that_only_reads_is_not_called_refused(tmp_path: Path, token: str):
    """An entitlement token is nobody's, so that the API does not know it, and the channel opens for it all the same."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"CondaToken": token}})
    nobody = json.dumps({"authenticated": False})
    with CloudsmithServer(token, private=True) as server:
        server.put("noarch/repodata.json", EMPTY)
        server.plan(Fault("status", when="user", status=200, body=nobody, media="application/json", times=None))
        variables = {"CLOUDSMITH_API_URL": server.api_url, "CLOUDSMITH_CHANNEL_HOST": server.url}
        document = check("cloudsmith://my-org/my-repo", tmp_path, auth, 0, **variables)
    assert (document["read"], document["upload"]) == (True, False)


def test_a_channel_that_is_not_there_is_no_matter_of_credentials(tmp_path: Path):
    """Exit status 1."""
    with GuardedServer(None) as server:
        document = check(f"{server.url}/other", tmp_path, None, 1)
    assert document["verdict"].startswith("There is no channel at this URL (404)")


def test_a_server_that_does_not_answer_is_no_matter_of_credentials(tmp_path: Path, token: str):
    """Exit status 1, and the error is among the findings."""
    auth = auth_file(tmp_path, {"127.0.0.1": {"BearerToken": token}})
    with GuardedServer(None) as server:
        url = f"{server.url}/chan"
    document = check(url, tmp_path, auth, 1, text="   read: not known: no answer\n   upload: not known: no answer\n")
    assert document["read"] is None
    assert document["verdict"].startswith("No answer came")


def test_a_folder_needs_no_credential(tmp_path: Path):
    """Nothing is looked up."""
    document = check(str(tmp_path), tmp_path, None, 0, text="A folder needs no credential.")
    assert (document["verdict"], document["stores"]) == ("A folder needs no credential.", [])


def test_a_name_that_looks_like_a_host_is_one_beside_a_folder_of_that_name(tmp_path: Path, token: str):
    """With ``./`` in front it is the folder."""
    (tmp_path / "repo.example.invalid").mkdir()
    auth = auth_file(tmp_path, {"repo.example.invalid": {"BearerToken": token}})
    assert check("repo.example.invalid", tmp_path, auth, 0)["match"] is not None
    assert check("./repo.example.invalid", tmp_path, auth, 0)["verdict"] == "A folder needs no credential."


def test_a_host_alone_gets_its_credential_explained(tmp_path: Path, token: str):
    """There is no channel to read, and no question to ask a server of an unknown kind."""
    auth = auth_file(tmp_path, {"*.example.invalid": {"BearerToken": token}})
    document = check("repo.example.invalid", tmp_path, auth, 0)
    assert document["keys"][:3] == ["repo.example.invalid", "*.repo.example.invalid", "*.example.invalid"]
    assert (document["read"], document["requests"]) == (None, [])


@pytest.mark.parametrize(
    "url", ["", "ftp://example.com/chan", "https://", "https://[::1/chan", "s3://", "https://a\\@b/chan"]
)
def test_what_is_no_place_is_wrong_usage(tmp_path: Path, url: str):
    """Exit status 2."""
    done = run_keelback(["auth", "check", url], home=tmp_path, env={"KEELBACK_NO_KEYCHAIN": "1"})
    assert done.returncode == 2, done.stdout
