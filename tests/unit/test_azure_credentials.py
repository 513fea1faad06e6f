"""Credentials for Azure Blob Storage: what is signed, what is taken from where, and what is never shown."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

import leaks
from keelback.channels.buckets.azureaccess import find_azure
from keelback.channels.buckets.azureplace import Place
from keelback.channels.session import Given, Session
from keelback.credentials.authfile import FileStore
from keelback.credentials.azure.connection import Connection
from keelback.credentials.azure.entra import authority_in
from keelback.credentials.azure.managed import ManagedIdentity
from keelback.credentials.azure.sharedkey import SharedKey, string_to_sign
from keelback.credentials.azure.signatures import SharedAccessSignature
from keelback.credentials.azure.tokens import EntraToken
from keelback.errors import CredentialError, KeelbackError, UsageError
from keelback.secret import Secret
from keelback.transport import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NO_TOKENS = {"AZURE_TOKEN_CREDENTIALS": "none"}


@pytest.fixture
def client() -> Iterator[Client]:
    """What would send requests."""
    with Client() as one:
        yield one


def found(client: Client, environ: dict[str, str] | None = None, **options: Any) -> Any:
    """The access to ``az://acme/conda/main``; tokens are out of the question unless *environ* says something else.

    A key or a signature in *environ* is for that account, unless it says something else, too.
    """
    stores = options.pop("stores", [])
    environ = {**NO_TOKENS, "AZURE_STORAGE_ACCOUNT": "acme", **(environ or {})}
    session = Session(client, lambda: stores, environ=environ, **options)
    return find_azure(session, Place.of(session, "acme", ["conda", "main"]))


def key() -> str:
    """An account key: Base64, and known to the leak check."""
    return leaks.new_secret("key").replace("-", "/").ljust(44, "A")[:44]


def stored(tmp_path: Path, entry: dict[str, Any], host: str = "acme.blob.core.windows.net") -> list[FileStore]:
    """A store with *entry* under *host*."""
    path = leaks.holds_secrets(tmp_path / "auth.json")
    path.write_text(json.dumps({host: entry}), encoding="utf-8")
    return [FileStore(path, "the auth file")]


# --- signing ---------------------------------------------------------------------------------------------------------


def test_what_is_signed_is_what_azure_documents() -> None:
    """As in "Authorize with Shared Key": the example for Get Container Metadata, and one with all that Put Blob has."""
    headers = {"x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21"}
    url = "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20"
    signed = string_to_sign(httpx2.Request("GET", url, headers=headers), "myaccount")
    assert signed == (
        "GET\n\n\n\n\n\n\n\n\n\n\n\n"
        "x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
        "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
    )
    put = {
        "content-type": "text/plain; charset=UTF-8",
        "x-ms-meta-b": "2",
        "x-ms-meta-a": " 1 ",
        "content-length": "11",
    }
    url = "https://myaccount.blob.core.windows.net/mycontainer/a%2Bb"
    signed = string_to_sign(httpx2.Request("PUT", url, headers=put, content=b"hello world"), "myaccount")
    assert signed == (
        "PUT\n\n\n11\n\ntext/plain; charset=UTF-8\n\n\n\n\n\n\n"
        "x-ms-meta-a:1\nx-ms-meta-b:2\n/myaccount/mycontainer/a%2Bb"
    )


def test_an_empty_body_has_no_length_in_what_is_signed() -> None:
    """Since version 2015-02-21."""
    signed = string_to_sign(httpx2.Request("PUT", "https://h/c", content=b""), "acme")
    assert signed.split("\n")[3] == ""


def test_no_credential_shows_itself() -> None:
    """Neither what is kept nor what an error says of it."""
    secret = leaks.new_secret("sas")
    for credential in (
        SharedKey("acme", Secret(key())),
        SharedAccessSignature(Secret(f"sv=1&sig={secret}")),
        EntraToken(Secret(leaks.new_secret("token"))),
    ):
        leaks.check(f"{credential!r} {credential}", "what a person sees of it")
    bad = leaks.new_secret("bad", special=True)
    for make in (lambda: SharedKey("acme", Secret(bad)), lambda: SharedAccessSignature(Secret(f"{bad} sig="))):
        with pytest.raises(CredentialError) as caught:
            make()
        assert caught.value.code == "bad-token"
        leaks.check(f"{caught.value} {caught.value.hint}", "the error")


# --- where it comes from ---------------------------------------------------------------------------------------------


def test_variables_go_before_stores_and_what_was_given_before_both(client: Client, tmp_path: Path) -> None:
    """Each of them names where it came from."""
    stores = stored(tmp_path, {"BasicHTTP": {"username": "acme", "password": key()}})
    access = found(client, stores=stores)
    assert (type(access.credential), access.source.startswith("key 'acme.blob.core.windows.net' of ")) == (
        SharedKey,
        True,
    )
    variables = {"AZURE_STORAGE_SAS_TOKEN": f"sig={leaks.new_secret('sas')}"}
    assert found(client, variables, stores=stores).source == "the variable AZURE_STORAGE_SAS_TOKEN"
    assert found(client, {**variables, "AZURE_STORAGE_KEY": key()}).source == "the variable AZURE_STORAGE_KEY"
    given = Given(api_key=Secret(f"?sig={leaks.new_secret('given')}", "--api-key"))
    assert found(client, variables, given=given).source == "--api-key"


@pytest.mark.parametrize(("token", "kind"), [("sv=1&sig={}", SharedAccessSignature), ("{}", EntraToken)])
def test_a_stored_token_is_a_signature_or_of_entra(client: Client, tmp_path: Path, token: str, kind: type) -> None:
    """Told by what is in it."""
    stores = stored(tmp_path, {"BearerToken": token.format(leaks.new_secret("stored"))}, "*.blob.core.windows.net")
    assert type(found(client, stores=stores).credential) is kind


@pytest.mark.parametrize(
    "entry",
    [{"CondaToken": "abcdefgh"}, {"BasicHTTP": {"username": "other", "password": "aGVsbG8gd29ybGQ="}}],
    ids=["kind", "account"],
)
def test_a_stored_credential_of_another_kind_or_account_is_named(
    client: Client, tmp_path: Path, entry: dict[str, Any]
) -> None:
    """And never sent."""
    with pytest.raises(CredentialError) as caught:
        found(client, stores=stored(tmp_path, entry))
    assert caught.value.code == "wrong-kind"


@pytest.mark.parametrize("variable", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_TOKEN"])
def test_what_is_in_variables_is_for_the_account_that_a_variable_names(client: Client, variable: str) -> None:
    """It goes to no other account: whose a URL names, such as that of a copy's source, may be anybody's."""
    value = f"sig={leaks.new_secret('sas')}" if "SAS" in variable else key()
    assert found(client, {variable: value, "AZURE_STORAGE_ACCOUNT": "other"}) is None
    by_other_name = {variable: value, "AZURE_STORAGE_ACCOUNT": "", "AZURE_STORAGE_ACCOUNT_NAME": "acme"}
    assert found(client, by_other_name).source == f"the variable {variable}"
    with pytest.raises(UsageError, match=rf"{variable} is set, and nothing says for which account") as caught:
        found(client, {variable: value, "AZURE_STORAGE_ACCOUNT": ""})
    assert "AZURE_STORAGE_ACCOUNT" in caught.value.hint


def test_what_is_given_needs_no_variable_that_says_whose_it_is(client: Client) -> None:
    """It was given for this account, whatever is in the variables."""
    given = Given(api_key=Secret(key(), "--api-key"))
    access = found(client, {"AZURE_STORAGE_KEY": key(), "AZURE_STORAGE_ACCOUNT": ""}, given=given)
    assert access.source == "--api-key"


def test_one_key_does_not_go_to_two_services(client: Client) -> None:
    """Both may say that the account is theirs."""
    session = Session(client, list, environ={**NO_TOKENS, "AZURE_STORAGE_KEY": key(), "AZURE_STORAGE_ACCOUNT": "acme"})
    find_azure(session, Place.of(session, "acme", ["conda"]))
    with pytest.raises(UsageError, match=r"AZURE_STORAGE_KEY would go to https://acme\.blob.* and to https://acme\."):
        find_azure(session, Place.of(session, "acme.blob.core.usgovcloudapi.net", ["conda"]))


@pytest.mark.skipif(os.name == "nt", reason="a script with an interpreter line")
def test_whoever_is_logged_in_with_the_tool_needs_nothing_else(client: Client, tmp_path: Path) -> None:
    """It is run without a shell, and last; where nobody is logged in, it is as if it were not there."""
    token = leaks.new_secret("cli")
    tool = tmp_path / "bin" / "az"
    tool.parent.mkdir()
    script = f"#!{sys.executable}\nimport os, sys\n"
    tool.write_text(
        f"{script}if os.environ.get('OUT'): sys.exit('Please run az login')\nassert sys.argv[1:] == "
        "['account', 'get-access-token', '--resource', 'https://storage.azure.com', '--output', 'json']\n"
        "print('{\"accessToken\": \"' + os.environ['TOKEN'] + '\"}')\n",
        encoding="utf-8",
    )
    tool.chmod(0o755)
    environ = {"AZURE_TOKEN_CREDENTIALS": "dev", "PATH": str(tool.parent), "TOKEN": token}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", environ["PATH"])
        access = found(client, environ)
        assert access.source == "az login"
        assert access.credential.current().reveal() == token
        assert found(client, {**environ, "OUT": "1"}) is None
        with pytest.raises(CredentialError, match="Please run az login"):
            found(client, {**environ, "OUT": "1", "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"})


def test_the_metadata_service_is_asked_only_on_azure(tmp_path: Path) -> None:
    """Elsewhere its address is somebody else's, or nobody's, and waiting for it takes long."""
    tag = tmp_path / "tag.txt"
    assert ManagedIdentity.there({}, wanted=False, asset_tag=tag) is None
    tag.write_text("7783-7084-3265-9085-8269-3286-77\n", encoding="ascii")
    there = ManagedIdentity.there({}, wanted=False, asset_tag=tag)
    assert there is not None
    assert there.url.startswith("http://169.254.169.254/metadata/identity/oauth2/token?")


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "segments", "why"),
    [
        ("Acme_1", ["conda"], "is not the name of a storage account"),
        ("acme", [], "names no container"),
        ("acme", ["A"], "is not the name of a container"),
        ("acme.example.com", ["conda"], "is not a host of Azure Blob Storage"),
        ("acme.blob.core.windows.net.example.com", ["conda"], "is not a host of Azure Blob Storage"),
    ],
)
def test_a_place_that_cannot_be_is_refused(client: Client, account: str, segments: list[str], why: str) -> None:
    """Before anything is sent anywhere."""
    with pytest.raises(UsageError, match=why):
        Place.of(Session(client, list, environ={}), account, segments)


def test_other_clouds_are_named_by_their_hosts(client: Client) -> None:
    """The account is the first label."""
    place = Place.of(Session(client, list, environ={}), "acme.blob.core.usgovcloudapi.net", ["conda", "main"])
    assert place.reading_url == "https://acme.blob.core.usgovcloudapi.net/conda/main"
    assert place.url == "az://acme/conda/main"


@pytest.mark.parametrize("text", ["AccountKey=abc", "BlobEndpoint=ftp://h;AccountName=a", "nonsense"])
def test_a_malformed_connection_string_is_refused_unseen(text: str) -> None:
    """It is nearly all secret."""
    secret = leaks.new_secret("connection")
    with pytest.raises(KeelbackError, match="names no account, or no valid endpoint"):
        Connection.named_in({"AZURE_STORAGE_CONNECTION_STRING": f"{text};SharedAccessSignature={secret}"})


def test_the_authority_is_what_the_variable_says() -> None:
    """With or without its scheme."""
    assert authority_in({}) == "https://login.microsoftonline.com"
    assert authority_in({"AZURE_AUTHORITY_HOST": "login.microsoftonline.us/"}) == "https://login.microsoftonline.us"
    with pytest.raises(UsageError, match="is not an https URL"):
        authority_in({"AZURE_AUTHORITY_HOST": "ftp://login.example.com"})
