"""Commands that give credentials, and keelback as one: real child processes, the protocols word by word."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leaks
from keelback.credentials import helpers
from keelback.credentials.commands import Output
from keelback.credentials.helperprotocol import answer, answer_bazel, answer_docker
from keelback.credentials.helpers import Helper
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, Credential, OAuth, S3Credentials
from keelback.credentials.lookup import Match
from keelback.errors import CredentialError, ExitStatus, UsageError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "https://pkg.example/channel"


@pytest.fixture
def helper(tmp_path: Path) -> Callable[..., Helper]:
    """``helper(code, output=..., ...)``: a command that runs that Python code, with its standard input as ``stdin``."""

    def make(code: str, **options: object) -> Helper:
        script = tmp_path / "the-helper.py"
        script.write_text(f"import json, os, subprocess, sys\nstdin = sys.stdin.read()\n{code}\n")
        return Helper((sys.executable, "-S", str(script)), **options)

    return make


def failure(asked: Helper, url: str = URL) -> CredentialError:
    """How it fails; with a hint, and the exit status for credentials."""
    with pytest.raises(CredentialError) as caught:
        asked.credential_for(url)
    assert caught.value.hint
    assert caught.value.exit_status == 3
    return caught.value


NAME = f"Helper {Path(sys.executable).name!r} for pkg.example"


# -- calling one -----------------------------------------------------------------------------------------------------


def test_what_it_prints_is_the_token(helper: Callable[..., Helper]) -> None:
    """Of the kind that its entry says; its standard input is at its end, and it has the variables of keelback."""
    token = leaks.new_secret("helper")
    code = f"assert stdin == '' and os.environ['PATH']\nprint(' {token}')"
    assert helper(code).credential_for(URL) == BearerToken(Secret(token))
    assert helper(code, gives="CondaToken").credential_for(URL) == CondaToken(Secret(token))
    with_user = helper(code, gives="BasicHTTP", username="oauth2accesstoken")
    assert with_user.credential_for(URL) == BasicHTTP("oauth2accesstoken", Secret(token))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"found": True, "kind": "BearerToken", "token": "TOKEN"}, BearerToken),
        ({"found": True, "kind": "CondaToken", "token": "TOKEN", "new": 1}, CondaToken),
        ({"found": True, "kind": "OAuth", "token": "TOKEN", "expires_at": 4e9}, BearerToken),
        ({"found": True, "kind": "BasicHTTP", "username": "u", "password": "TOKEN"}, BasicHTTP),
        ({"username": "u", "password": "TOKEN"}, BasicHTTP),
        ({"token": "TOKEN"}, BearerToken),
        ({"kind": "S3Credentials", "access_key_id": "k", "secret_access_key": "TOKEN"}, S3Credentials),
        ({"found": False}, None),
    ],
)
def test_it_may_answer_in_the_protocol_of_keelback(
    helper: Callable[..., Helper], members: dict[str, object], expected: type[Credential] | None
) -> None:
    """The request says which URL; what names no kind, as Cloudsmith's helper does, is told by its members."""
    token = leaks.new_secret("helper-json")
    document = {"version": 1, **{name: token if value == "TOKEN" else value for name, value in members.items()}}
    request = {"version": 1, "action": "get", "url": URL}
    given = helper(f"assert json.loads(stdin) == {request!r}\nprint({json.dumps(document)!r})", output="json")
    credential = given.credential_for(URL)
    if expected is None:
        assert credential is None
    else:
        assert type(credential) is expected
        secret = getattr(credential, {BasicHTTP: "password", S3Credentials: "secret_access_key"}.get(expected, "token"))
        assert secret == Secret(token)


def test_it_may_speak_docker(helper: Callable[..., Helper]) -> None:
    """The host goes in; a user and a secret come out, or a token, or that there is none."""
    token = leaks.new_secret("helper-docker")
    document = {"ServerURL": "pkg.example", "Username": "ann", "Secret": token}
    code = "assert stdin == 'pkg.example\\n'\nprint(json.dumps({}))"
    assert helper(code.format(document), output="docker").credential_for(URL) == BasicHTTP("ann", Secret(token))
    document["Username"] = "<token>"
    given = replace(helper(code.format(document), output="docker"), timeout=29)
    assert given.credential_for(URL) == BearerToken(Secret(token))
    none = helper("print('credentials not found in native keychain'); sys.exit(1)", output="docker", timeout=28)
    assert none.credential_for(URL) is None


@pytest.mark.parametrize(
    ("code", "output", "said"),
    [
        ("sys.exit('log\\nin')", "token", "failed with exit status 1: log in."),
        ("sys.exit(7)", "json", "failed with exit status 7: it does not say why."),
        ("print('no'); sys.exit(1)", "docker", "failed with exit status 1: it does not say why."),
        ("print()", "token", "printed nothing."),
        ("sys.stdout.buffer.write(b'\\xff')", "token", "printed something that is not UTF-8."),
        ("print('x' * 65537)", "token", "printed more than 64 KiB."),
        ("while True: print('x' * 65536, flush=True)", "token", "printed more than 64 KiB."),
        ("print('token')", "json", "did not print a JSON object."),
        ("print('[' * 60000)", "json", "did not print a JSON object."),
        ("print('[]')", "docker", "did not print a JSON object."),
        ("print('{}')", "json", "does not speak version 1 of keelback's protocol."),
        ("print('{\"version\": 2}')", "json", "does not speak version 1 of keelback's protocol."),
        ("print('{\"version\": 1}')", "json", "printed no credential: "),
        ('print(\'{"version": 1, "kind": "Magic"}\')', "json", "printed no credential: unknown kind"),
        ('print(\'{"version": 1, "token": "x", "expires_at": 1}\')', "json", "gave a credential that has expired."),
        ('print(\'{"version": 1, "token": "x", "expires_at": "soon"}\')', "json", "is not a number of seconds."),
        ('print(\'{"Username": "u"}\')', "docker", "printed no 'Username' or no 'Secret'."),
    ],
)
def test_what_goes_wrong_is_told_by_name(helper: Callable[..., Helper], code: str, output: str, said: str) -> None:
    """Which helper, for which host, and what it did."""
    error = failure(helper(code, output=output))
    assert error.code == "helper"
    assert error.message.startswith(f"{NAME} ")
    assert said in error.message


def test_an_error_in_the_answer_is_passed_on(helper: Callable[..., Helper]) -> None:
    """With its own hint, whatever the exit status is."""
    document = {"version": 1, "error": {"code": "x", "message": "You are logged out.", "hint": "Run login."}}
    error = failure(helper(f"print({json.dumps(document)!r}); sys.exit(3)", output="json"))
    assert (error.message, error.hint) == (f"{NAME} says: You are logged out.", "Run login")


def test_a_token_that_cannot_be_one_is_refused(helper: Callable[..., Helper]) -> None:
    """As one from a file is."""
    error = failure(helper("print('please log in first')"))
    assert error.code == "bad-token"
    assert (
        error.message == f"The token from the helper {Path(sys.executable).name!r} for pkg.example has a space in it."
    )


def test_a_failure_shows_no_secret(helper: Callable[..., Helper]) -> None:
    """Neither what has the form of one nor what was printed on the other stream; and not much of the rest."""
    token, other = leaks.new_secret("helper-out"), leaks.new_secret("helper-err")
    code = f"print({token!r}); sys.exit('x' * 70000 + ' {token} Authorization: Bearer {other} ' + 'y' * 400)"
    leaks.check(failure(helper(code)).message, "the message")
    short = f"print({token!r}); sys.exit('\\x1b[31m{token} Authorization: Bearer {other} refused')"
    assert failure(helper(short, timeout=29)).message.endswith(
        "exit status 1: ?[31m**** Authorization: Bearer **** refused."
    )


def test_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its name, or by its path."""
    assert failure(Helper(("no-such-helper",))).message == (
        "Helper 'no-such-helper' for pkg.example is in no folder of the PATH."
    )
    gone = tmp_path / "gone"
    assert failure(Helper((str(gone),))).message == "Helper 'gone' for pkg.example does not exist, or cannot be run."


def test_none_is_run_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout may hold anything; a PATH with '.' in it is no reason to run it."""
    script = tmp_path / ("gcloud.bat" if sys.platform == "win32" else "gcloud")
    script.write_text("#!/bin/sh\necho stolen\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    assert "working directory" in failure(Helper(("gcloud",))).message


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have named pipes")
def test_one_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """Its children, too: the pipe ends only when the last process is gone that can write into it."""
    pipe, child, parent = tmp_path / "pipe", tmp_path / "child.py", tmp_path / "parent.py"
    os.mkfifo(pipe)
    child.write_text(f"import signal; signal.alarm(60); kept = open({str(pipe)!r}, 'w'); signal.pause()")
    parent.write_text(f"import subprocess, sys; subprocess.run([sys.executable, '-S', {str(child)!r}])")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    before = time.monotonic()
    error = failure(Helper((sys.executable, "-S", str(parent)), timeout=0.5))
    assert error.message == f"{NAME} gave no answer within 0.5 seconds, and was ended."
    assert "timeout" in error.hint
    os.set_blocking(reader, True)
    while os.read(reader, 1):
        pass
    os.close(reader)
    assert time.monotonic() - before < 30


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have named pipes")
def test_what_it_leaves_running_is_not_waited_for(helper: Callable[..., Helper], tmp_path: Path) -> None:
    """Some helpers start a process that keeps passwords, which inherits their output."""
    token, pipe = leaks.new_secret("helper-daemon"), tmp_path / "pipe"
    os.mkfifo(pipe)
    given = helper(f"print({token!r}, flush=True)\nif os.fork() == 0: open({str(pipe)!r}).read()")
    assert given.credential_for(URL) == BearerToken(Secret(token))
    pipe.open("w").close()  # the one that is left goes now; it waited for this


def test_one_that_asks_keelback_for_what_it_is_to_give_is_stopped(
    helper: Callable[..., Helper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would call each other until the machine is full."""
    variable = "KEELBACK_RUNNING_HELPERS"
    assert helper(f"print(os.environ[{variable!r}])").credential_for(URL) == BearerToken(Secret(URL))
    monkeypatch.setenv(variable, f"https://other.example {URL}")
    assert failure(helper("print('x')", timeout=29)).message == (f"{NAME} asks keelback for what it is to give itself.")


def test_it_runs_once_for_all_threads_until_its_answer_expires(
    helper: Callable[..., Helper], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again a minute before that; once in five minutes where no time is told."""
    runs = tmp_path / "runs"
    now = 1_800_000_000.0
    monkeypatch.setattr(helpers, "_now", lambda: now)
    count = f"open({str(runs)!r}, 'a').write('x')\n"
    told = helper(
        count + f"print(json.dumps({{'version': 1, 'token': 'abc', 'expires_at': {now + 600}}}))", output="json"
    )

    threads = [threading.Thread(target=told.credential_for, args=(URL,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs.read_text() == "x"
    now += 539
    told.credential_for(URL)
    assert runs.read_text() == "x"
    told.credential_for("https://other.example")
    assert runs.read_text() == "xx"

    now, untold = 1_800_000_000.0, helper(count + "print('abc')", timeout=29)
    untold.credential_for(URL)
    now += 299
    untold.credential_for(URL)
    assert runs.read_text() == "xxx"
    now += 2
    untold.credential_for(URL)
    assert runs.read_text() == "xxxx"


def test_one_that_failed_is_not_run_again_at_once(
    helper: Callable[..., Helper], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four parts of a channel are four questions; the error is the same for a minute."""
    runs, now = tmp_path / "runs", 1_800_000_000.0
    monkeypatch.setattr(helpers, "_now", lambda: now)
    broken = helper(f"open({str(runs)!r}, 'a').write('x')\nsys.exit('logged out')")
    first, again = failure(broken), failure(broken)
    assert (again.message, again.hint, again.code) == (first.message, first.hint, first.code)
    assert again is not first
    assert runs.read_text() == "x"
    now += 61
    failure(broken)
    assert runs.read_text() == "xx"


def test_a_short_lived_answer_is_kept_for_half_of_its_life(
    helper: Callable[..., Helper], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute before its end would be before it was given."""
    runs, now = tmp_path / "runs", 1_800_000_000.0
    monkeypatch.setattr(helpers, "_now", lambda: now)
    answer_ = f"{{'version': 1, 'token': 'abc', 'expires_at': {now + 50}}}"
    told = helper(f"open({str(runs)!r}, 'a').write('x')\nprint(json.dumps({answer_}))", output="json")
    told.credential_for(URL)
    now += 24
    told.credential_for(URL)
    assert runs.read_text() == "x"
    now += 2
    told.credential_for(URL)
    assert runs.read_text() == "xx"


def test_what_it_printed_is_in_no_repr() -> None:
    """A debugger or a traceback may show one."""
    token = leaks.new_secret("helper-repr")
    leaks.check(repr(Output(0, token.encode(), token.encode(), cut=False)), "a repr")


# -- being one -------------------------------------------------------------------------------------------------------


class Place:
    """Where the credential of a test is."""

    name = "the keychain"


def found(credential: Credential | None) -> Callable[[str], Match | None]:
    """A lookup that finds that for every URL."""
    return lambda _url: None if credential is None else Match(credential, "*.example", Place())


def request(**members: object) -> str:
    """A request in keelback's own protocol."""
    return json.dumps({"version": 1, "action": "get", "url": URL, **members})


def oauth(token: str, expires_at: int | None = 1_900_000_000) -> OAuth:
    """What a login in the browser leaves behind."""
    return OAuth(Secret(token), None, expires_at, "https://x.example/token", None, "rattler")


HEAD = {"version": 1, "url": URL, "found": True}
PLACE = {"expires_at": None, "key": "*.example", "store": "the keychain"}


def test_the_own_protocol_tells_the_credential_and_what_to_send() -> None:
    """Each kind with its own members; every document is JSON as it stands."""
    token = leaks.new_secret("answer")
    secret = Secret(token)
    bearer = {"Authorization": [f"Bearer {token}"]}
    moved = f"https://pkg.example/t/{token}/channel"
    basic = {"kind": "BasicHTTP", "username": "u", "password": token}
    s3 = {"kind": "S3Credentials", "access_key_id": "k", "secret_access_key": token, "session_token": None}
    cases = [
        (BearerToken(secret), {"kind": "BearerToken", "token": token, "headers": bearer}),
        (oauth(token), {"kind": "OAuth", "token": token, "headers": bearer, "expires_at": 1_900_000_000}),
        (CondaToken(secret), {"kind": "CondaToken", "token": token, "headers": {}, "url_with_token": moved}),
        (S3Credentials("k", secret), {**s3, "headers": {}}),
    ]
    for credential, members in cases:
        document, status = answer(request(), found(credential))
        assert json.loads(json.dumps(document)) == {**HEAD, **PLACE, **members}
        assert status is ExitStatus.OK
    document, _ = answer(request(), found(BasicHTTP("u", secret)))
    assert document.pop("headers")["Authorization"][0].startswith("Basic ")
    assert document == {**HEAD, **PLACE, **basic}


def test_no_credential_is_an_answer_too() -> None:
    """The program that asks goes on without one."""
    assert answer(request(), found(None)) == ({"version": 1, "url": URL, "found": False}, ExitStatus.OK)


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "[" * 60000, request(version=2), request(action="store"), request(url="x"), request(url=None)],
)
def test_a_request_that_is_none_is_answered_with_an_error(text: str) -> None:
    """In the protocol itself: whoever asks reads only that."""
    document, status = answer(text, found(None))
    assert status is ExitStatus.USAGE
    assert document["version"] == 1
    assert document["error"]["code"] == "usage"
    assert document["error"]["message"]


def test_a_credential_that_cannot_be_used_is_answered_with_its_error() -> None:
    """Code, message and hint are those that a person would get."""

    def lookup(_url: str) -> None:
        raise CredentialError("it has expired", hint="Log in again.", code="login-expired")

    told = {"code": "login-expired", "message": "it has expired", "hint": "Log in again."}
    assert answer(request(), lookup) == ({"version": 1, "error": told}, ExitStatus.CREDENTIAL)
    with pytest.raises(CredentialError):
        answer_bazel(json.dumps({"uri": URL}), lookup)
    assert answer_docker(URL, lookup) == ("it has expired Log in again.", ExitStatus.FAILED)


def test_bazel_gets_headers_and_their_end() -> None:
    """As the Credential Helpers Specification has it; more members in the request are no mistake."""
    token = leaks.new_secret("answer-bazel")
    asked = json.dumps({"uri": URL, "more": 1})
    document, status = answer_bazel(asked, found(oauth(token)))
    assert document == {"headers": {"Authorization": [f"Bearer {token}"]}, "expires": "2030-03-17T17:46:40Z"}
    assert status is ExitStatus.OK
    for odd in (None, 10**30):
        assert "expires" not in answer_bazel(asked, found(oauth(token, odd)))[0]
    assert answer_bazel(asked, found(None)) == ({"headers": {}}, ExitStatus.OK)
    with pytest.raises(CredentialError, match="CondaToken under key"):
        answer_bazel(asked, found(CondaToken(Secret(token))))
    with pytest.raises(UsageError):
        answer_bazel("{}", found(None))


def test_docker_gets_user_and_secret() -> None:
    """Or the sentences that it knows, with an exit status that is not success."""
    token = leaks.new_secret("answer-docker")
    asked: list[str] = []

    def lookup(url: str) -> Match:
        asked.append(url)
        return Match(BasicHTTP("ann", Secret(token)), "k", Place())

    for server in ("pkg.example:5000", "https://pkg.example/v1/"):
        document = {"ServerURL": server, "Username": "ann", "Secret": token}
        assert answer_docker(f"{server}\n", lookup) == (document, ExitStatus.OK)
    assert asked == ["https://pkg.example:5000", "https://pkg.example/v1/"]
    for credential in (BearerToken(Secret(token)), oauth(token)):
        document = {"ServerURL": "h", "Username": "<token>", "Secret": token}
        assert answer_docker("h", found(credential)) == (document, ExitStatus.OK)
    assert answer_docker("h", found(None)) == ("credentials not found in native keychain", ExitStatus.FAILED)
    assert answer_docker(" \n", found(None)) == ("no credentials server URL", ExitStatus.FAILED)
    assert answer_docker("h", found(CondaToken(Secret(token))))[1] is ExitStatus.FAILED


def test_what_keelback_answers_keelback_understands(helper: Callable[..., Helper]) -> None:
    """Over ssh, say: the answer of one is what the other has."""
    token = Secret(leaks.new_secret("answer-loop"))
    s3 = S3Credentials("k", token, token)
    for number, credential in enumerate((BearerToken(token), CondaToken(token), BasicHTTP("u", token), s3)):
        document, _ = answer(request(), found(credential))
        given = helper(f"print({json.dumps(document)!r})", output="json", timeout=20 + number)
        assert given.credential_for(URL) == credential
