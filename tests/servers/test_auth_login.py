"""``keelback auth login``, ``logout``, ``token`` and ``helper``, as a person and a program use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from cli_runner import Completed, run_keelback, start_keelback
from keelback.channels.identity import whoami
from keelback.cli.auth.given import Given
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, S3Credentials
from keelback.errors import KeelbackError
from keelback.secret import Secret
from keelback.transport import Client, Retry
from servers.scripted import Fault, PrefixServer, ScriptedServer
from servers.scripted.channel_server import Login, ReadableServer
from servers.scripted.cloudsmith import CloudsmithServer
from servers.scripted.identities import IdentityServer
from servers.scripted.oauth import NAME, OAuthServer
from servers.scripted.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from keelback.channels.identity import Identity

NO_KEYCHAIN = {"KEELBACK_NO_KEYCHAIN": "1"}


class Person:
    """Somebody with a home folder, who runs ``keelback auth``."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        self.file = leaks.holds_secrets(home / ".rattler" / "credentials.json")
        self.own = leaks.holds_secrets(home / "own.json")
        self.env = {**NO_KEYCHAIN, "KEELBACK_CREDENTIALS_FILE": str(self.own)}

    def auth(self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Completed:
        """Run it."""
        return run_keelback(["auth", *args], input=stdin, env={**self.env, **(env or {})}, home=self.home)

    def secret_of(self, *args: str, env: Mapping[str, str] | None = None, stdin: str = "") -> str:
        """What ``keelback auth ARGS`` prints, which is secret."""
        done = subprocess.run(
            [sys.executable, "-m", "keelback", "auth", *args],
            env={**os.environ, "HOME": str(self.home), **self.env, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        leaks.check(done.stderr, "keelback's stderr")
        return done.stdout

    def stored(self) -> dict[str, Any]:
        """What is in the default file."""
        return json.loads(self.file.read_text()) if self.file.exists() else {}


@pytest.fixture
def ann(tmp_path: Path) -> Person:
    """With nothing stored."""
    return Person(tmp_path / "ann")


def ask(place: str, credential: Any, environ: Mapping[str, str] | None = None) -> Identity:
    """What the server at *place* says of *credential*."""
    with Client(retry=Retry(attempts=1)) as client:
        return whoami(client, place, credential, environ or {})


# --- login: verified, then stored -------------------------------------------------------------------------------------


def test_a_token_is_verified_and_then_stored_where_every_tool_finds_it(ann: Person, token: str) -> None:
    """It says who one is, where the token is, under which key, and which hosts that serves."""
    with PrefixServer(token) as server:
        env = {"PREFIX_DEV_API_URL": server.url}
        done = ann.auth("login", "prefix.dev", "--token", "-", stdin=token + "\n", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert ann.stored() == {"*.prefix.dev": {"BearerToken": token}}
    assert "Logged in to prefix.dev as ann." in done.stdout
    assert "'*.prefix.dev'" in done.stdout
    assert str(ann.file) in done.stdout
    assert "prefix.dev and every host under it" in done.stdout
    assert server.steps() == ["graphql"]
    server.assert_clean()


def test_a_token_that_the_server_does_not_know_is_not_stored(ann: Person, token: str) -> None:
    """Exit status 3."""
    wrong = leaks.new_secret("wrong")
    with PrefixServer(token) as server:
        done = ann.auth("login", "prefix.dev", "--token", "-", stdin=wrong, env={"PREFIX_DEV_API_URL": server.url})
    assert done.returncode == 3
    assert "does not take the bearer token" in done.stderr
    assert "hint:  Nothing was stored." in done.stderr
    assert ann.stored() == {}


def test_without_an_answer_nothing_is_stored_unless_told(ann: Person, token: str) -> None:
    """The error names --no-verify, and that does not ask."""
    with ScriptedServer(faults=[Fault("status", "any", status=500, times=None)]) as server:
        env = {"PREFIX_DEV_API_URL": server.url}
        failed = ann.auth("login", "prefix.dev", "--token", "-", stdin=token, env=env)
        asked = len(server.requests)
        done = ann.auth("login", "prefix.dev", "--token", "-", "--no-verify", stdin=token, env=env)
    assert failed.returncode == 1
    assert "--no-verify" in failed.stderr
    assert (done.returncode, len(server.requests)) == (0, asked)
    assert "not verified" in done.stdout
    assert list(ann.stored()) == ["*.prefix.dev"]


def test_a_server_that_cannot_tell_gets_its_credential_stored_and_that_is_said(ann: Person) -> None:
    """Nothing is made up about it."""
    password = leaks.new_secret("password", special=True)
    done = ann.auth("login", "nginx.example.com", "--username", "ann", "--password", "-", stdin=password)
    assert done.returncode == 0
    assert done.stdout.startswith("Not verified: nginx.example.com has no way to check a token by itself. ")
    assert "keelback auth login https://nginx.example.com/CHANNEL" in done.stdout
    assert ann.stored() == {"nginx.example.com": {"BasicHTTP": {"username": "ann", "password": password}}}


@pytest.mark.parametrize("place", ["cloudsmith.io", "cloudsmith://my-org/my-repo"])
def test_a_login_to_cloudsmith_is_verified_by_its_api_and_serves_all_its_hosts(
    ann: Person, token: str, place: str
) -> None:
    """However it is named; and what was logged in to so is found and removed by the same name."""
    with CloudsmithServer(token) as server:
        env = {"CLOUDSMITH_API_URL": server.api_url}
        refused = ann.auth("login", place, "--token", "-", stdin=leaks.new_secret("wrong"), env=env)
        done = ann.auth("login", place, "--token", "-", stdin=token, env=env)
        server.assert_clean()
    assert (refused.returncode, done.returncode, server.steps()) == (3, 0, ["user", "user"])
    assert done.stdout.startswith(f"Logged in to {place} as ann.")
    assert ann.stored() == {"*.cloudsmith.io": {"BearerToken": token}}
    assert ann.secret_of("token", place).strip() == token
    assert ann.auth("logout", place).returncode == 0
    assert ann.stored() == {}


def readable(token: str, **options: Any) -> ReadableServer:
    """A server whose channel opens for *token*."""
    contents = {"noarch/repodata.json": b'{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{}}'}
    return ReadableServer(contents, login=Login("BearerToken", token), **options)


def test_a_server_that_cannot_tell_is_asked_for_its_channel(ann: Person, token: str) -> None:
    """A token that opens a private channel is good; one that it refuses is not stored."""
    with readable(token) as server:
        refused = ann.auth("login", server.channel_url, "--token", "-", stdin=leaks.new_secret("wrong"))
        nothing = ann.stored()
        done = ann.auth("login", server.channel_url, "--token", "-", stdin=token)
    assert (refused.returncode, nothing) == (3, {})
    assert "401" in refused.stderr
    assert "Nothing was stored." in refused.stderr
    assert (done.returncode, ann.stored()) == (0, {"127.0.0.1": {"BearerToken": token}})
    assert done.stdout.startswith(f"Logged in to {server.channel_url}")
    assert done.stderr == "This login is for the whole host; --path keeps it to /chan.\n"


def test_a_channel_that_everybody_can_read_proves_no_token(ann: Person, token: str) -> None:
    """It is stored, and said; so it is where there is no channel; without an answer it is an error."""
    with readable(token) as server:
        server.login = None
        public = ann.auth("login", server.channel_url, "--token", "-", stdin=token)
        elsewhere = ann.auth("login", f"{server.url}/nothing", "--token", "-", stdin=token)
    with_no_answer = ann.auth("login", server.channel_url, "--token", "-", stdin=token)
    assert [done.returncode for done in (public, elsewhere, with_no_answer)] == [0, 0, 1]
    assert "Not verified: the channel can be read without a credential" in public.stdout
    assert "answered 404" in elsewhere.stdout
    assert "--no-verify" in with_no_answer.stderr


def test_standard_input_has_one_secret_and_nothing_else(ann: Person, token: str) -> None:
    """One line break at its end is no part of it; a second line is not dropped in silence."""
    args = ["login", "example.com", "--no-verify", "--token", "-"]
    for text, said in ((f"{token}\nmore\n", "more than one line"), ("", "empty"), ("x" * 70_000, "64 kB")):
        done = ann.auth(*args, stdin=text)
        assert (done.returncode, ann.stored()) == (2, {})
        assert said in done.stderr
    assert ann.auth(*args, stdin=f"{token}\r\n").returncode == 0
    assert ann.stored() == {"*.example.com": {"BearerToken": token}}
    both = ["--s3-access-key-id", "AK", "--s3-secret-access-key", "-", "--s3-session-token", "-"]
    done = ann.auth("login", "s3://bucket", *both, stdin=token)
    assert "--s3-secret-access-key and --s3-session-token are both" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["login", "prefix.dev", "SECRET"],
        ["login", "prefix.dev", "--token=", "SECRET"],
        ["login", "prefix.dev", "--SECRET"],
        ["login", "prefix.dev", "--oauth-flow", "SECRET"],
        ["check", "prefix.dev", "--timeout", "SECRET"],
        ["token", "prefix.dev", "SECRET"],
        ["SECRET"],
    ],
    ids=" ".join,
)
def test_a_secret_in_the_wrong_place_is_not_repeated(ann: Person, token: str, args: list[str]) -> None:
    """Wrong usage shows nothing of what was typed in the place of a value."""
    done = ann.auth(*(arg.replace("SECRET", token) for arg in args))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")


def test_an_auth_file_that_cannot_be_written_is_called_by_its_option(ann: Person, token: str, tmp_path: Path) -> None:
    """The variable has nothing to do with it."""
    (tmp_path / "blocked").write_text("a file, and no folder")
    file = str(tmp_path / "blocked" / "auth.json")
    done = ann.auth("login", "example.com", "--no-verify", "--token", "-", "--auth-file", file, stdin=token)
    assert done.returncode == 3
    assert "RATTLER_AUTH_FILE" not in done.stderr
    assert "--auth-file" in done.stderr


def test_what_is_typed_in_options_is_not_in_the_repr_of_it(token: str) -> None:
    """So that no traceback with local variables shows it."""
    assert token not in repr(Given("example.com", {}, {"--token": Secret(token)}))
    assert "values" not in repr(Given("example.com", {}, {"--token": token}))


def test_a_secret_in_the_arguments_gets_a_warning(ann: Person, token: str) -> None:
    """In one line, that does not repeat it."""
    done = ann.auth("login", "example.com", "--token", token, "--no-verify")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: the secret of --token is now in the shell's history")
    assert done.stderr.count("\n") == 1


def test_a_token_for_anaconda_org_is_a_conda_token(ann: Person, token: str) -> None:
    """Whichever option it came by; the other is said."""
    done = ann.auth("login", "anaconda.org", "--token", "-", "--no-verify", stdin=token)
    assert ann.stored() == {"*.anaconda.org": {"CondaToken": token}}
    assert "takes conda tokens" in done.stderr


def test_s3_keys_are_stored_under_their_bucket(ann: Person) -> None:
    """The key is no secret, and the secret comes on standard input."""
    secret = leaks.new_secret("s3")
    args = ["login", "s3://my-bucket/channel", "--s3-access-key-id", "AK", "--s3-secret-access-key", "-"]
    done = ann.auth(*args, "--no-verify", stdin=secret)
    assert done.returncode == 0
    keys = {"access_key_id": "AK", "secret_access_key": secret, "session_token": None}
    assert ann.stored() == {"my-bucket": {"S3Credentials": keys}}
    token = ann.auth("token", "s3://my-bucket/channel")
    assert (token.returncode, "are several secrets" in token.stderr) == (3, True)
    *_, line = token.stderr.splitlines()
    question, _, command = line.partition("echo '")[2].partition("' | keelback auth ")
    assert json.loads(ann.secret_of(command, stdin=question))["access_key_id"] == "AK"


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["prefix.dev"], 2, "--token -"),
        (["example.com"], 2, "no terminal"),
        (["example.com", "--token", "-", "--conda-token", "-"], 2, "two kinds"),
        (["prefix.dev", "--conda-token", "-"], 2, "prefix.dev takes"),
        (["anaconda.org", "--oauth"], 2, "anaconda.org takes"),
        (["s3://bucket", "--token", "-"], 2, "S3"),
        (["example.com", "--s3-access-key-id", "AK", "--s3-secret-access-key", "-"], 2, "s3://example.com"),
        (["https://example.com/x", "--path", "--token", "-", "--auth-file", "a.json"], 2, "leave out --auth-file"),
        (["example.com", "--username", "ann"], 2, "--password is missing"),
        (["https://ann:pw@example.com", "--token", "-"], 2, "user name or a password"),
        (["example.com", "--path", "--token", "-"], 2, "no path"),
        (["example.com", "--helper", "x", "--auth-file", "a.json"], 2, "own file"),
        (["prefix.dev", "--token", "-", "--region", "eu"], 2, "--region is for buckets, and not for prefix.dev"),
        (
            ["https://*.example.com/x", "--token", "-", "--endpoint-url", "https://x"],
            2,
            "--endpoint-url is for buckets",
        ),
        (["example.com", "--token", "-"], 3, "The token from standard input has a space in it"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    ann: Person, args: list[str], status: int, said: str
) -> None:
    """With the way to do it; a token that can be none is not stored either."""
    done = ann.auth("login", *args, stdin="two words\n")
    assert done.returncode == status
    assert said in done.stderr
    assert ann.stored() == {}


def test_the_named_file_takes_the_login_and_is_made_for_it(ann: Person, token: str, tmp_path: Path) -> None:
    """``RATTLER_AUTH_FILE`` need not be there; ``--auth-file`` goes before it."""
    first, second = (leaks.holds_secrets(tmp_path / "new" / name) for name in ("first.json", "second.json"))
    env = {"RATTLER_AUTH_FILE": str(first)}
    ann.auth("login", "example.com", "--token", "-", "--no-verify", stdin=token, env=env)
    ann.auth("login", "example.com", "--token", "-", "--no-verify", "--auth-file", str(second), stdin=token, env=env)
    assert [json.loads(path.read_text()) for path in (first, second)] == [{"*.example.com": {"BearerToken": token}}] * 2
    assert ann.stored() == {}
    if os.name == "posix":
        assert first.stat().st_mode & 0o777 == 0o600


def test_a_login_that_another_entry_hides_gets_a_warning(ann: Person, token: str) -> None:
    """The exact host in netrc goes before the wildcard of a login."""
    netrc = leaks.holds_secrets(ann.home / "netrc")
    netrc.write_text(f"machine example.com login ann password {leaks.new_secret('netrc')}\n")
    netrc.chmod(0o600)
    env = {"NETRC": str(netrc)}
    done = ann.auth("login", "example.com", "--token", "-", "--no-verify", stdin=token, env=env)
    assert done.returncode == 0
    assert "example.com still gets the user name and password under key 'example.com'" in done.stderr


def test_a_login_for_a_path_serves_that_path(ann: Person, token: str) -> None:
    """It is in keelback's own file; the channel beside it keeps the login of the host."""
    other = leaks.new_secret("other")
    ann.auth("login", "example.com", "--token", "-", "--no-verify", stdin=other)
    ann.auth("login", "--path", "https://example.com/private", "--token", "-", "--no-verify", stdin=token)
    assert ann.stored() == {"*.example.com": {"BearerToken": other}}
    assert ann.secret_of("token", "https://example.com/private/noarch") == f"{token}\n"
    assert ann.secret_of("token", "https://example.com/public") == f"{other}\n"
    done = ann.auth("logout", "--path", "https://example.com/private")
    assert (done.returncode, json.loads(ann.own.read_text())) == (0, {})


def test_a_helper_is_asked_each_time(ann: Person, token: str) -> None:
    """What is stored is the command; it is run before, to see that it gives something."""
    script = leaks.holds_secrets(ann.home / "helper.py")
    script.write_text(f"print({token!r})")
    command = f'"{sys.executable}" "{script}"' if os.name == "nt" else f"'{sys.executable}' '{script}'"
    done = ann.auth("login", "example.com", "--helper", command)
    assert (done.returncode, ann.stored()) == (0, {})
    assert ann.secret_of("token", "https://example.com/x") == f"{token}\n"
    failed = ann.auth("login", "other.example", "--helper", f"{command}-that-is-not-there")
    assert failed.returncode == 3


# --- login in the browser ---------------------------------------------------------------------------------------------


def test_a_login_in_the_browser_is_stored_renewed_and_revoked(ann: Person) -> None:
    """By a code; the token is for pipes; logging out ends it at the server, too."""
    with OAuthServer(expires_in=10) as server:
        server.device = {"interval": 0}
        args = ["login", "localhost", "--oauth", "--oauth-issuer-url", server.issuer, "--oauth-scope", "channel:read"]
        done = ann.auth(*args)
        first = ann.stored()["localhost"]["OAuth"]["access_token"]
        printed = ann.secret_of("token", "localhost").strip()
        second = ann.stored()["localhost"]["OAuth"]["access_token"]
        out = ann.auth("logout", "localhost")
        live = dict(server.live)
    assert done.returncode == 0
    assert "enter the code" in done.stderr
    assert f"as {NAME}" in done.stdout
    assert first != second
    assert printed == second
    assert (out.returncode, ann.stored()) == (0, {})
    assert second not in live
    assert server.steps().count("revoke") == 2


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_during_a_login_stores_nothing(ann: Person) -> None:
    """Exit status 130."""
    import signal  # noqa: PLC0415 - POSIX

    with OAuthServer() as server:
        server.device = {"interval": 0}
        server.polls.extend(["authorization_pending", ...])
        args = ["auth", "login", "localhost", "--oauth", "--oauth-issuer-url", server.issuer]
        running = start_keelback(args, env=ann.env, home=ann.home)
        server.wait_for("token", 2)
        running.process.send_signal(signal.SIGINT)
        done = running.finish()
    assert done.returncode == 130
    assert "nothing was stored" in done.stderr
    assert ann.stored() == {}


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_code_for_the_browser_needs_no_terminal_to_type_at(ann: Person) -> None:
    """It is enough that it can be seen: the login is begun, and here nobody answers it."""
    import pty  # noqa: PLC0415 - POSIX

    leader, follower = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "keelback", "auth", "login", "prefix+https://localhost:1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=follower,
            env={**os.environ, "HOME": str(ann.home), **ann.env},
            check=False,
        )
        said = os.read(leader, 65536).decode()
    finally:
        os.close(leader)
        os.close(follower)
    assert "no terminal" not in said
    assert "localhost" in said
    assert done.returncode == 1


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_at_a_terminal_the_secret_is_asked_for_and_not_shown(ann: Person, token: str) -> None:
    """anaconda.org is asked for a conda token without a question which kind."""
    import pty  # noqa: PLC0415 - POSIX

    leader, follower = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "keelback", "auth", "login", "anaconda.org", "--no-verify"],
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "HOME": str(ann.home), **ann.env},
            start_new_session=True,  # getpass would otherwise find the terminal of whoever runs the tests
        ) as process:
            said = process.stderr.read(len("Token:"))  # what is typed before the question is thrown away
            os.write(leader, f"{token}\n".encode())
            stdout, stderr = process.communicate(timeout=60)
    finally:
        os.close(leader)
        os.close(follower)
    leaks.check(stdout + stderr, "keelback's output")
    assert (said, process.returncode) == (b"Token:", 0)
    assert ann.stored() == {"*.anaconda.org": {"CondaToken": token}}


# --- logout, token, helper --------------------------------------------------------------------------------------------


def test_logging_out_says_what_was_removed_and_what_is_left(ann: Person, token: str) -> None:
    """``--all`` does not fail on what is only read; a host without a login is an error."""
    netrc = leaks.holds_secrets(ann.home / "netrc")
    netrc.write_text(f"machine n.example.com login ann password {leaks.new_secret('netrc')}\n")
    netrc.chmod(0o600)
    ann.env["NETRC"] = str(netrc)
    ann.auth("login", "example.com", "--token", "-", "--no-verify", stdin=token)
    nothing = ann.auth("logout", "nowhere.org")
    done = ann.auth("logout", "--all")
    read_only = ann.auth("logout", "n.example.com")
    assert (nothing.returncode, done.returncode, read_only.returncode) == (3, 0, 3)
    assert "Removed '*.example.com'" in done.stdout
    assert "'n.example.com' of" in done.stderr
    assert ann.stored() == {}
    assert ann.auth("logout").returncode == 2


def test_the_token_is_printed_alone(ann: Person, token: str) -> None:
    """Every kind that has one; with --header the line that is sent; without a credential, exit status 3."""
    password = leaks.new_secret("password")
    ann.auth("login", "example.com", "--token", "-", "--no-verify", stdin=token)
    ann.auth("login", "basic.example.com", "--username", "ann", "--password", "-", "--no-verify", stdin=password)
    ann.auth("login", "conda.example.com", "--conda-token", "-", "--no-verify", stdin=token)
    assert ann.secret_of("token", "www.example.com") == f"{token}\n"
    assert ann.secret_of("token", "https://conda.example.com/x") == f"{token}\n"
    assert ann.secret_of("token", "basic.example.com") == f"{password}\n"
    assert ann.secret_of("token", "--header", "example.com") == f"Authorization: Bearer {token}\n"
    none, in_path = ann.auth("token", "example.org"), ann.auth("token", "--header", "conda.example.com")
    assert (none.returncode, none.stdout) == (3, "")
    assert "keelback auth login example.org" in none.stderr
    assert in_path.returncode == 3


def test_the_header_is_printed_for_every_way_of_writing_a_host(ann: Person, token: str) -> None:
    """Also for a name that stands for another one, which is none for the HTTP library."""
    ann.auth("login", "*.com", "--token", "-", "--no-verify", stdin=token)
    assert ann.secret_of("token", "--header", "https://\uff41.com/") == f"Authorization: Bearer {token}\n"


def test_programs_are_answered_in_their_own_protocols(ann: Person, token: str) -> None:
    """keelback's, Bazel's and Docker's."""
    ann.auth("login", "example.com", "--token", "-", "--no-verify", stdin=token)
    question = json.dumps({"version": 1, "action": "get", "url": "https://example.com/x"})
    own = json.loads(ann.secret_of("helper", stdin=question))
    bazel = json.loads(ann.secret_of("helper", "--format", "bazel", stdin='{"uri": "https://example.com/x"}'))
    docker = json.loads(ann.secret_of("helper", "get", "--format", "docker", stdin="example.com\n"))
    assert (own["found"], own["kind"], own["token"], own["key"]) == (True, "BearerToken", token, "*.example.com")
    assert bazel["headers"] == {"Authorization": [f"Bearer {token}"]}
    assert docker["Secret"] == token
    none = ann.auth("helper", stdin=question.replace("example.com", "example.org"))
    assert (none.returncode, none.json()["found"]) == (0, False)
    docker_none = ann.auth("helper", "--format", "docker", stdin="example.org")
    assert (docker_none.returncode, docker_none.stdout) == (1, "credentials not found in native keychain\n")


# --- who one is -------------------------------------------------------------------------------------------------------


def test_anaconda_org_says_who_and_what_is_permitted(token: str) -> None:
    """Its scopes are named; without an answer to that question, nothing is claimed."""
    with IdentityServer(token, scopes=["conda:download", "api:write"]) as server:
        known = ask(f"anaconda+{server.url}/api", CondaToken(Secret(token)))
        unknown = ask(f"anaconda+{server.url}/api", CondaToken(Secret(leaks.new_secret("wrong"))))
    with IdentityServer(token, scopes=["conda:download"]) as server:
        reader = ask(f"anaconda+{server.url}/api", CondaToken(Secret(token)))
    with IdentityServer(token) as server:
        silent = ask(f"anaconda+{server.url}/api", CondaToken(Secret(token)))
    assert (known.valid, known.name, known.permits) == (True, "ann", ("read", "upload"))
    assert unknown.valid is False
    assert reader.permits == ("read",)
    assert (silent.valid, silent.permits) == (True, ())


def test_quetz_is_recognised_by_its_words_before_it_is_shown_a_key(token: str) -> None:
    """The first request has no credential in it; another server than Quetz gets no further one."""
    with IdentityServer(token) as server:
        known = ask(server.url, CondaToken(Secret(token)))
        unknown = ask(server.url, CondaToken(Secret(leaks.new_secret("wrong"))))
        first = server.requests[0]
    with ScriptedServer() as other:
        nothing = ask(other.url, CondaToken(Secret(token)))
    assert (known.valid, unknown.valid, nothing.valid) == (True, False, None)
    assert first.header("x-api-key") is None
    assert len(other.requests) == 1


@pytest.mark.parametrize(("open_to_all", "valid"), [(False, True), (True, None)])
def test_artifactory_is_believed_only_where_it_turns_others_away(token: str, *, open_to_all: bool, valid: bool) -> None:
    """Its ping may answer everybody; one that refuses the credential is believed."""
    with IdentityServer(token, open_to_all=open_to_all) as server:
        place = f"artifactory+{server.url}/artifactory/conda-local"
        known = ask(place, BasicHTTP("ann", Secret(token)))
        refused = ask(place, BearerToken(Secret(leaks.new_secret("wrong"))))
    assert (known.valid, known.name) == (valid, "ann" if valid else None)
    assert refused.valid is False


def test_what_a_server_cannot_be_asked_is_left_open(token: str) -> None:
    """Kinds that a server does not take, and servers without such a question: nothing is sent."""
    with ScriptedServer() as server:
        answers = [
            ask("s3://bucket", BearerToken(Secret(token))),
            ask(f"prefix+{server.url}", CondaToken(Secret(token))),
            ask(server.url, BearerToken(Secret(token))),
        ]
        assert server.requests == []
    assert [answer.valid for answer in answers] == [None] * 3
    assert all(answer.said for answer in answers)


def test_a_bucket_tells_keys_that_it_knows_from_others(token: str) -> None:
    """By the list of its objects; that there is no such bucket is an error."""
    with S3Server({"AK": token}) as server:
        environ = {"S3_ENDPOINT_URL": server.url}
        places = {"s3://packages/chan": "AK", "s3://packages": "OTHER"}
        answers = [ask(place, S3Credentials(key, Secret(token)), environ) for place, key in places.items()]
        with pytest.raises(KeelbackError, match="has no bucket 'nowhere'"):
            ask("s3://nowhere", S3Credentials("AK", Secret(token)), environ)
    assert [answer.valid for answer in answers] == [True, False]


def test_an_answer_that_says_nothing_is_an_error(token: str) -> None:
    """Such as a 500."""
    faults = [Fault("status", "any", status=500, times=None)]
    with ScriptedServer(faults=faults) as server, pytest.raises(KeelbackError):
        ask(f"prefix+{server.url}", BearerToken(Secret(token)))
