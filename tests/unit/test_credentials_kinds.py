"""What each kind of credential does to a request, and what it takes for one."""

from __future__ import annotations

import base64
import copy
import pickle

import httpx2
import pytest

import leaks
from keelback.credentials.codec import KINDS, parse_credential
from keelback.credentials.kinds import (
    BasicHTTP,
    BearerToken,
    CondaToken,
    Credential,
    HeaderAuth,
    OAuth,
    S3Credentials,
    check_token,
)
from keelback.errors import CredentialError
from keelback.secret import Secret, redact

TOKEN = leaks.watch("kbt-5Wq9.token_x~1", "kinds")
SHOWN = "kbt-5Wq9"

OAUTH = {"access_token": TOKEN, "token_endpoint": "https://id.example/token", "client_id": "rattler"}


def sent(auth: httpx2.Auth, url: str = "https://example.com/a/b?c=%20d", **headers: str) -> httpx2.Request:
    """The request as it goes out."""
    request = httpx2.Request("GET", url, headers=headers)
    flow = auth.sync_auth_flow(request)
    out = next(flow)
    with pytest.raises(StopIteration):
        flow.send(httpx2.Response(401, request=out))
    return out


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (BearerToken(Secret(TOKEN)), "Authorization", f"Bearer {TOKEN}"),
        (OAuth(Secret(TOKEN), None, None, "https://id.example", None, "me"), "Authorization", f"Bearer {TOKEN}"),
        (BasicHTTP("ännchen", Secret("pä:ss")), "Authorization", "Basic w6RubmNoZW46cMOkOnNz"),
        (HeaderAuth("X-API-Key", Secret(TOKEN)), "X-API-Key", TOKEN),
        (CondaToken(Secret(TOKEN)).header("Authorization", "token "), "Authorization", f"token {TOKEN}"),
        (BearerToken(Secret(TOKEN)).header("X-API-Key"), "X-API-Key", TOKEN),
    ],
)
def test_a_kind_puts_itself_into_its_header(auth: httpx2.Auth, header: str, value: str) -> None:
    """Each kind is sent as rattler sends it, once, and the URL stays as it was."""
    request = sent(auth)
    assert request.headers[header] == value
    assert str(request.url) == "https://example.com/a/b?c=%20d"


@pytest.mark.parametrize(
    ("token", "path"),
    [
        ("ab-12_c", b"/t/ab-12_c/a/b?c=%20d"),
        ("a.b~c+d=e@f:g", b"/t/a.b~c+d=e@f:g/a/b?c=%20d"),
        ("a/b%2F?#", b"/t/a%2Fb%252F%3F%23/a/b?c=%20d"),
    ],
)
def test_a_conda_token_goes_to_the_root_of_the_path(token: str, path: bytes) -> None:
    """The path becomes /t/TOKEN/old/path; whatever the token holds, it stays one segment."""
    request = sent(CondaToken(Secret(token)))
    assert request.url.raw_path == path
    assert request.url.host == "example.com"
    assert "Authorization" not in request.headers


def test_a_conda_token_is_not_put_into_a_path_twice() -> None:
    """A request that is tried again, or that came with a token in its path, keeps the one it has."""
    auth = CondaToken(Secret("abc"))
    first = sent(auth)
    assert next(auth.sync_auth_flow(first)).url.raw_path == b"/t/abc/a/b?c=%20d"
    assert sent(auth, "https://example.com/t/own/a").url.raw_path == b"/t/own/a"


@pytest.mark.parametrize(
    "auth",
    [
        BearerToken(Secret(TOKEN)),
        CondaToken(Secret(TOKEN)),
        BasicHTTP("ann", Secret(TOKEN)),
        OAuth(Secret(TOKEN), None, None, "https://id.example", None, "me"),
        HeaderAuth("X-API-Key", Secret(TOKEN)),
    ],
)
def test_a_request_that_is_authorized_is_left_alone(auth: httpx2.Auth) -> None:
    """Who sets Authorization himself means it: nothing of the store's credential goes along."""
    request = sent(auth, authorization="Digest mine")
    assert request.headers["Authorization"] == "Digest mine"
    assert TOKEN not in str(request.url)
    assert "X-API-Key" not in request.headers


def test_a_header_that_is_there_is_left_alone() -> None:
    """The same holds for the header that a HeaderAuth would set."""
    assert sent(HeaderAuth("X-API-Key", Secret(TOKEN)), **{"x-api-key": "mine"}).headers["X-API-Key"] == "mine"


def test_s3_keys_are_no_http_auth() -> None:
    """S3 keys sign requests elsewhere; they cannot be put onto one by mistake."""
    assert not isinstance(S3Credentials("id", Secret(TOKEN)), httpx2.Auth)


@pytest.mark.parametrize(
    "credential",
    [
        BearerToken(Secret(TOKEN)),
        CondaToken(Secret(TOKEN)),
        BasicHTTP("ann", Secret(TOKEN)),
        S3Credentials(TOKEN, Secret(TOKEN), Secret(TOKEN)),
        OAuth(Secret(TOKEN), Secret(TOKEN), 1, "https://id.example", None, "me"),
        HeaderAuth("X-API-Key", Secret(TOKEN)),
    ],
)
def test_no_credential_prints_its_secret(credential: Credential) -> None:
    """Neither repr nor str nor format shows a secret, and none is pickled."""
    assert SHOWN not in f"{credential!r} {credential!s} {credential}"
    with pytest.raises(TypeError, match="Secret"):
        pickle.dumps(credential)


def test_what_goes_out_is_redacted_when_it_comes_back() -> None:
    """A server that echoes the header or the path shows no secret: base64 and percent-encoding are known, too."""
    BasicHTTP("ann", Secret("pässword-kb77"))
    CondaToken(Secret("kb/88 tok:en"))
    encoded = base64.b64encode("ann:pässword-kb77".encode()).decode()
    assert encoded not in redact(f"you sent <{encoded}>")
    assert "kb%2F88%20tok:en" not in redact("you asked for <kb%2F88%20tok:en>")


def test_credentials_are_values() -> None:
    """Two of the same content are equal, hashable, and cannot be changed."""
    credential = BearerToken(Secret(TOKEN))
    assert credential == BearerToken(Secret(TOKEN))
    assert len({credential, copy.copy(credential)}) == 1
    with pytest.raises(AttributeError):
        credential.token = Secret("kbt-5Wq9-other")  # type: ignore[misc]  # that it cannot be done is what is tested


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        (f"{TOKEN}\n", "has a line break in it"),
        (f"{TOKEN}\r\n", "has a line break in it"),
        (f"kb\n{TOKEN}", "has a line break in it"),
        (f"{TOKEN}\x00", "has a control character in it"),
        (f"{TOKEN}\x7f", "has a control character in it"),
        (f" {TOKEN}", "begins or ends with a space"),
        (f"{TOKEN}\u00a0", "begins or ends with a space"),
        (f'"{TOKEN}"', "has quotes around it"),
        (f"'{TOKEN}'", "has quotes around it"),
        (f"{TOKEN}\u2013x", "has a character in it that is not ASCII"),
        (f"Bearer {TOKEN}", "has a space in it"),
    ],
)
def test_what_can_be_no_token_is_refused(value: str, says: str) -> None:
    """A token that no server could take is refused before it is sent, with where it came from and without itself."""
    with pytest.raises(CredentialError) as caught:
        check_token(Secret(value), "--api-key")
    assert caught.value.message == f"The token from --api-key {says}."
    assert caught.value.code == "bad-token"
    assert caught.value.hint
    assert SHOWN not in caught.value.message + caught.value.hint


def test_a_good_token_comes_back_as_it_is() -> None:
    """Checking changes nothing."""
    secret = Secret("pfx_AZaz09-._~+/=@:$")
    assert check_token(secret, "--api-key") is secret


@pytest.mark.parametrize(
    ("value", "credential"),
    [
        ({"BearerToken": TOKEN}, BearerToken(Secret(TOKEN))),
        ({"CondaToken": TOKEN}, CondaToken(Secret(TOKEN))),
        ({"BasicHTTP": {"username": "ann", "password": ""}}, BasicHTTP("ann", Secret(""))),
        ({"BasicHTTP": {"username": "", "password": "p q'"}}, BasicHTTP("", Secret("p q'"))),
        (
            {"S3Credentials": {"access_key_id": "AK", "secret_access_key": "SK"}},
            S3Credentials("AK", Secret("SK"), None),
        ),
        (
            {"S3Credentials": {"access_key_id": "AK", "secret_access_key": "SK", "session_token": "ST"}},
            S3Credentials("AK", Secret("SK"), Secret("ST")),
        ),
        ({"OAuth": OAUTH}, OAuth(Secret(TOKEN), None, None, "https://id.example/token", None, "rattler")),
        (
            {"OAuth": {**OAUTH, "refresh_token": "rt", "expires_at": 1790000000, "revocation_endpoint": "https://r"}},
            OAuth(Secret(TOKEN), Secret("rt"), 1790000000, "https://id.example/token", "https://r", "rattler"),
        ),
        (
            {"OAuth": {**OAUTH, "refresh_token": None, "expires_at": None, "revocation_endpoint": None, "new": 1}},
            OAuth(Secret(TOKEN), None, None, "https://id.example/token", None, "rattler"),
        ),
    ],
)
def test_all_five_kinds_are_read(value: object, credential: Credential) -> None:
    """Each kind is read as rattler writes it; what may be absent may be null, and unknown members are let be."""
    assert parse_credential(value) == credential
    assert credential.kind in KINDS


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        (TOKEN, "a credential is an object that names its kind, not a string", "prefix.dev"),
        ([TOKEN], "a credential is an object that names its kind, not a list", "prefix.dev"),
        (None, "a credential is an object that names its kind, not null", "prefix.dev"),
        (12345, "a credential is an object that names its kind, not a number", "prefix.dev"),
        ({}, "exactly one member, its kind; this one has no member", "prefix.dev"),
        ({"BearerToken": TOKEN, "CondaToken": TOKEN}, "exactly one member, its kind; this one has 2 members", ""),
        ({"Token": TOKEN}, "unknown kind of credential 'Token'", "BearerToken, BasicHTTP, CondaToken, S3Cred"),
        ({"bearertoken": TOKEN}, "unknown kind of credential 'bearertoken'", "Did you mean 'BearerToken'?"),
        ({"bearer_token": TOKEN}, "unknown kind of credential 'bearer_token'", "Did you mean 'BearerToken'?"),
        ({"BasicHttp": {}}, "unknown kind of credential 'BasicHttp'", "Did you mean 'BasicHTTP'?"),
        ({"S3Credential": {}}, "unknown kind of credential 'S3Credential'", "Did you mean 'S3Credentials'?"),
        ({"Oauth": {}}, "unknown kind of credential 'Oauth'", "Did you mean 'OAuth'?"),
        ({"BearerToken": f"{TOKEN}\ud800"}, "the value of BearerToken holds half of a character", ""),
        ({"BearerToken": {"token": TOKEN}}, "the value of BearerToken is a string, not an object", ""),
        ({"CondaToken": None}, "the value of CondaToken is a string, not null", ""),
        ({"CondaToken": True}, "the value of CondaToken is a string, not a boolean", ""),
        ({"BasicHTTP": TOKEN}, "the value of BasicHTTP is an object, not a string", ""),
        ({"BasicHTTP": {"username": "ann"}}, "BasicHTTP has no member 'password'", ""),
        (
            {"BasicHTTP": {"user_name": "ann", "password": TOKEN}},
            "BasicHTTP has no member 'username'",
            "Is 'user_name' meant to be 'username'?",
        ),
        ({"BasicHTTP": {"username": 7, "password": TOKEN}}, "'username' of BasicHTTP is a string, not a number", ""),
        ({"S3Credentials": {"access_key_id": "AK"}}, "S3Credentials has no member 'secret_access_key'", ""),
        (
            {"S3Credentials": {"access_key_id": "AK", "secret_access_key": "SK", "session_token": 3}},
            "'session_token' of S3Credentials is a string, not a number",
            "",
        ),
        ({"OAuth": {**OAUTH, "expires_at": "soon"}}, "'expires_at' of OAuth is a whole number, not a string", ""),
        ({"OAuth": {**OAUTH, "expires_at": True}}, "'expires_at' of OAuth is a whole number, not a boolean", ""),
        ({"OAuth": {**OAUTH, "expires_at": 1.5}}, "'expires_at' of OAuth is a whole number, not a number", ""),
    ],
)
def test_a_malformed_credential_is_named_and_not_shown(value: object, message: str, hint: str) -> None:
    """What is wrong is said by kind, member and JSON type, with what was probably meant; no value is shown."""
    with pytest.raises(CredentialError) as caught:
        parse_credential(value)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.code == "bad-credential"
    assert SHOWN not in caught.value.message + caught.value.hint
    assert "12345" not in caught.value.message


def test_a_misspelt_member_that_may_be_absent_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """S3 without its session token fails for no reason that could be seen; rattler keeps silent, keelback does not."""
    parse_credential(
        {"S3Credentials": {"access_key_id": "AK", "secret_access_key": "SK", "sesion_token": TOKEN}}, source="here"
    )
    assert caplog.messages == [
        "here: S3Credentials has no member 'session_token'. Is 'sesion_token' meant to be 'session_token'?"
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"BearerToken": f"{TOKEN}\n"},
        {"BasicHTTP": {"username": "ann", "password": f"{TOKEN}\n"}},
        {"S3Credentials": {"access_key_id": "AK\n", "secret_access_key": TOKEN}},
        {"OAuth": {**OAUTH, "access_token": f"{TOKEN}\n"}},
        {"OAuth": {**OAUTH, "refresh_token": f"'{TOKEN}'"}},
    ],
)
def test_a_secret_that_can_be_none_names_its_source(value: object) -> None:
    """A line break at the end of a secret, which an editor leaves there, is found in every kind."""
    with pytest.raises(CredentialError, match="key 'a' of the file has") as caught:
        parse_credential(value, source="key 'a' of the file")
    assert caught.value.code == "bad-token"
    assert SHOWN not in str(caught.value)
