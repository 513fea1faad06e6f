"""``keelback auth check`` and ``auth login`` for buckets: which credential, whether it is taken, what to do if not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from cli_runner import run_keelback
from keelback.channels.session import BucketOptions
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.diagnosis.asking import AccountingClient
from keelback.diagnosis.checkup import check_up
from keelback.errors import ExitStatus, UsageError
from keelback.transport import Retry
from servers.scripted.azure import ACCOUNT, CONTAINER, AzureBlobServer
from servers.scripted.cloudsmith import CloudsmithServer
from servers.scripted.gcs import GCSServer
from servers.scripted.put import PutServer
from servers.scripted.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from keelback.diagnosis.result import Checkup

KEY_ID, READER = "AKWRITER", "AKREADER"
INDEX = b'{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{},"removed":[],"repodata_version":1}'
REPODATA = "chan/noarch/repodata.json"
S3_URL, GS_URL, AZ_URL = "s3://packages/chan", "gs://acme/chan", f"az://{ACCOUNT}/{CONTAINER}/chan"


@pytest.fixture(scope="module")
def secret() -> str:
    """The secret access key that S3 knows."""
    return leaks.new_secret("s3")


@pytest.fixture(scope="module")
def s3(secret: str) -> Iterator[S3Server]:
    """A bucket with a channel in it."""
    with S3Server({KEY_ID: secret}) as running:
        running.put_object(REPODATA, INDEX)
        yield running
    running.assert_clean()


@pytest.fixture(scope="module")
def azure() -> Iterator[AzureBlobServer]:
    """A container with a channel in it."""
    with AzureBlobServer() as running:
        running.put(REPODATA, INDEX)
        yield running
    running.assert_clean()


@pytest.fixture(scope="module")
def google_token() -> str:
    """What Google knows."""
    return leaks.new_secret("google")


@pytest.fixture(scope="module")
def google(google_token: str) -> Iterator[GCSServer]:
    """A bucket with a channel in it."""
    with GCSServer(google_token) as running:
        running.put(REPODATA, INDEX)
        yield running
    running.assert_clean()


def keys(secret: str, key_id: str = KEY_ID) -> dict[str, Any]:
    """S3 keys as auth files have them."""
    return {"S3Credentials": {"access_key_id": key_id, "secret_access_key": secret}}


def checked(
    url: str, endpoint: str | None, tmp_path: Path, stored: Mapping[str, Any] | None = None, **more: Any
) -> Checkup:
    """What ``auth check`` finds out of *url*, with what is *stored* and the variables in *more*."""
    trusted, region = more.pop("trusted", None), more.pop("region", None)
    file = None
    if stored is not None:
        file = leaks.holds_secrets(tmp_path / "auth.json")
        file.write_text(json.dumps(stored))
        file.chmod(0o600)
    environ = {"AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}
    environ |= {"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential", "HOME": str(tmp_path), **more}
    with AccountingClient(retry=Retry(attempts=2, base=0.001), timeout=5) as client:
        result = check_up(
            url,
            client,
            trusted=trusted,
            buckets=BucketOptions(endpoint_url=endpoint, region=region),
            auth_file=file,
            environ=environ,
            home=tmp_path,
            keychain=False,
        )
    leaks.check(json.dumps(result.to_json()), "the document")
    return result


def codes(result: Checkup) -> list[str]:
    """The codes of what is wrong."""
    return [problem.code for problem in result.findings]


# --- a credential that is taken ---------------------------------------------------------------------------------------


def test_stored_keys_that_a_bucket_takes_are_explained_from_key_to_answer(
    s3: S3Server, secret: str, tmp_path: Path
) -> None:
    """In the document as in the text: key, store, settings in force, requests, and that the channel can be read."""
    file = leaks.holds_secrets(tmp_path / "auth.json")
    file.write_text(json.dumps({"packages": keys(secret)}))
    file.chmod(0o600)
    args = ["auth", "check", S3_URL, "--auth-file", file, "--endpoint-url", s3.url, "--addressing-style", "path"]
    shown, asked = run_keelback(args), run_keelback([*args, "--json"])
    document = asked.json()
    assert (shown.returncode, shown.stderr, asked.returncode) == (0, "", 0)
    assert (document["match"]["key"], document["match"]["kind"]) == ("packages", "S3Credentials")
    assert document["bucket"] == {
        "endpoint": s3.url,
        "region": "us-east-1",
        "addressing_style": "path",
        "reading_url": f"{s3.url}/packages/chan",
    }
    assert (document["read"], document["upload"], document["findings"]) == (True, None, [])
    assert {each["sent"] for each in document["requests"]} == {"a signature (AWS4-HMAC-SHA256)"}
    assert document["verdict"].startswith("The bucket takes the S3 keys of ")
    for line in (
        "S3 from key 'packages' of",
        "for the bucket packages",
        f"endpoint: {s3.url}",
        "addressing style: path",
    ):
        assert line in shown.stdout


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        ({"S3_ACCESS_KEY_ID": KEY_ID, "S3_SECRET_ACCESS_KEY": "SECRET"}, "S3_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": "SECRET"}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "dev", "AWS_SHARED_CREDENTIALS_FILE": "FILE"}, "'dev'"),
    ],
)
def test_it_is_said_which_variables_or_profile_the_keys_are_from(
    s3: S3Server, secret: str, tmp_path: Path, variables: dict[str, str], source: str
) -> None:
    """As publish would find them."""
    file = leaks.holds_secrets(tmp_path / "credentials")
    file.write_text(f"[dev]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {secret}\n")
    file.chmod(0o600)
    environ = {name: value.replace("SECRET", secret).replace("FILE", str(file)) for name, value in variables.items()}
    result = checked(S3_URL, s3.url, tmp_path, **environ)
    assert result.used is not None
    assert source in result.used.source
    assert (result.exit_status, result.read) == (ExitStatus.OK, True)


def test_a_token_for_google_and_a_key_or_a_signature_for_azure_are_explained_likewise(
    google: GCSServer, google_token: str, azure: AzureBlobServer, tmp_path: Path
) -> None:
    """Also from the store, by the host of the endpoint."""
    host = "127.0.0.1"
    pair = {"BasicHTTP": {"username": ACCOUNT, "password": azure.key}}
    found = [
        checked(GS_URL, google.url, tmp_path, {host: {"BearerToken": google_token}}),
        checked(GS_URL, google.url, tmp_path, {}, GOOGLE_OAUTH_ACCESS_TOKEN=google_token),
        checked(AZ_URL, azure.endpoint, tmp_path, {host: pair}),
        checked(AZ_URL, azure.endpoint, tmp_path, {host: {"BearerToken": azure.sas}}),
        checked(AZ_URL, azure.endpoint, tmp_path, {}, AZURE_STORAGE_KEY=azure.key, AZURE_STORAGE_ACCOUNT=ACCOUNT),
    ]
    assert [(each.exit_status, each.read, codes(each)) for each in found] == [(ExitStatus.OK, True, [])] * 5
    assert [each.used and each.used.key for each in found] == [host, None, host, host, None]
    said = ["bearer token of", "bearer token from", "account key of", "shared access signature of", "account key from"]
    assert all(f"takes the {words} " in each.verdict for words, each in zip(said, found, strict=True))
    assert {each.sent for each in found[3].requests} == {"sig=**** in the query"}
    assert found[2].bucket == {"endpoint": azure.endpoint, "reading_url": f"{azure.endpoint}/{CONTAINER}/chan"}


def test_a_bucket_without_a_channel_yet_is_no_failure(s3: S3Server, secret: str, tmp_path: Path) -> None:
    """The keys are good, and the first publish makes the channel."""
    result = checked("s3://packages/new", s3.url, tmp_path, {"packages": keys(secret)})
    assert (result.exit_status, result.read) == (ExitStatus.OK, False)
    assert "There is no channel at this place yet" in result.verdict


def test_the_words_of_other_tools_and_a_host_in_the_url_name_the_same_buckets(
    s3: S3Server, secret: str, google: GCSServer, google_token: str, tmp_path: Path
) -> None:
    """``gcs://`` is ``gs://``; ``s3+http://HOST/BUCKET`` has its endpoint in it."""
    result = checked(f"s3+{s3.url}/packages/chan", None, tmp_path, {"packages": keys(secret)})
    other = checked("gcs://acme/chan", google.url, tmp_path, {}, GOOGLE_OAUTH_ACCESS_TOKEN=google_token)
    assert (result.read, other.read, other.url) == (True, True, GS_URL)


def test_a_region_that_is_wrong_is_told_and_followed(secret: str, tmp_path: Path) -> None:
    """One line, with the option that saves the detour."""
    with S3Server({KEY_ID: secret}, region="eu-west-1") as server:
        server.put_object(REPODATA, INDEX)
        result = checked(S3_URL, server.url, tmp_path, {"packages": keys(secret)}, region="us-east-1")
    assert (result.read, codes(result)) == (True, ["bucket"])
    assert "--region eu-west-1" in result.findings[0].message


def test_a_clock_that_is_wrong_does_not_hide_what_the_keys_can_do(secret: str, tmp_path: Path) -> None:
    """Publish would set it by the server's, and so does the check."""
    with S3Server({KEY_ID: secret}, clock_offset=3600) as server:
        server.put_object(REPODATA, INDEX)
        result = checked(S3_URL, server.url, tmp_path, {"packages": keys(secret)})
    assert (result.read, result.exit_status) == (True, ExitStatus.OK)


# --- one that is not --------------------------------------------------------------------------------------------------


def test_refused_credentials_are_told_with_what_to_do(
    s3: S3Server, google: GCSServer, azure: AzureBlobServer, tmp_path: Path
) -> None:
    """Exit status 3, and the service's own reason among the findings."""
    wrong, other_key = leaks.new_secret("wrong"), leaks.new_secret("key").encode().hex()
    found = [
        checked(S3_URL, s3.url, tmp_path, {"packages": keys(wrong)}),
        checked(GS_URL, google.url, tmp_path, {"127.0.0.1": {"BearerToken": wrong}}),
        checked(AZ_URL, azure.endpoint, tmp_path, {}, AZURE_STORAGE_KEY=other_key, AZURE_STORAGE_ACCOUNT=ACCOUNT),
    ]
    assert [each.exit_status for each in found] == [ExitStatus.CREDENTIAL] * 3
    assert all(each.verdict.startswith("The bucket refuses the ") for each in found)
    assert all(each.findings[-1].hint for each in found)
    assert "SignatureDoesNotMatch" in found[0].findings[-1].message


def test_no_credential_comes_with_the_ways_to_give_one(s3: S3Server, tmp_path: Path) -> None:
    """Exit status 3: neither may be read by everybody, who sends no version to Azure either."""
    with AzureBlobServer() as azure:
        found = [checked(S3_URL, s3.url, tmp_path, {}), checked(AZ_URL, azure.endpoint, tmp_path, {})]
    assert [(each.exit_status, each.used) for each in found] == [(ExitStatus.CREDENTIAL, None)] * 2
    assert found[0].verdict.startswith("There is no credential for this bucket. Log in with: keelback auth login s3://")
    assert "Run az login" in found[1].verdict


def test_a_bucket_that_everybody_may_read_needs_none_for_that(tmp_path: Path) -> None:
    """Exit status 0."""
    with GCSServer(None) as server:
        server.put(REPODATA, INDEX)
        result = checked(GS_URL, server.url, tmp_path, {})
    assert (result.exit_status, result.read) == (ExitStatus.OK, True)
    assert result.verdict.startswith("Everybody can read this channel; to publish to it, there is no credential.")


def test_a_credential_of_a_kind_that_a_bucket_does_not_take_is_not_sent(s3: S3Server, tmp_path: Path) -> None:
    """It is named with its key."""
    before = len(s3.requests)
    result = checked(S3_URL, s3.url, tmp_path, {"packages": {"BearerToken": leaks.new_secret("token")}})
    assert (result.exit_status, codes(result)) == (ExitStatus.CREDENTIAL, ["wrong-kind"])
    assert "'packages'" in result.findings[0].message
    assert len(s3.requests) == before


def test_a_bucket_that_is_missing_is_no_matter_of_credentials(s3: S3Server, secret: str, tmp_path: Path) -> None:
    """Exit status 1."""
    result = checked("s3://nowhere/chan", s3.url, tmp_path, {"nowhere": keys(secret)})
    assert (result.exit_status, codes(result)) == (ExitStatus.FAILED, ["not-found"])
    assert "NoSuchBucket" in result.findings[0].message


def test_a_service_that_does_not_answer_is_no_matter_of_credentials(secret: str, tmp_path: Path) -> None:
    """Exit status 1."""
    with S3Server({KEY_ID: secret}) as server:
        url = server.url
    result = checked(S3_URL, url, tmp_path, {"packages": keys(secret)})
    assert (result.exit_status, result.read) == (ExitStatus.FAILED, None)
    assert result.verdict.startswith("No answer came")


def test_trusted_publishing_alone_needs_somebody_to_exchange_the_identity(s3: S3Server, tmp_path: Path) -> None:
    """As for publish: the variable that names the role is said."""
    with pytest.raises(UsageError) as caught:
        checked(S3_URL, s3.url, tmp_path, {}, trusted=TrustedPublishing.of("always", (), None))
    assert "AWS_ROLE_ARN" in caught.value.hint


@pytest.mark.parametrize(
    "url", ["s3://", "gs://", "az://acme", "az://Acme!/c", "s3+https://HOST", "cloudsmith://my-org"]
)
def test_what_names_no_bucket_or_channel_is_wrong_usage(url: str, tmp_path: Path) -> None:
    """Nothing is asked."""
    with pytest.raises(UsageError):
        checked(url, None, tmp_path, {})


# --- logging in -------------------------------------------------------------------------------------------------------


def login(home: Path, *args: str, stdin: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status and output of ``keelback auth login``, and what is in the auth file then."""
    file = leaks.holds_secrets(home / "auth.json")
    done = run_keelback(["auth", "login", *args, "--auth-file", file], input=stdin, home=home)
    return done.returncode, done.stdout + done.stderr, json.loads(file.read_text()) if file.exists() else {}


def test_s3_keys_are_tried_on_their_bucket_before_they_are_stored(s3: S3Server, secret: str, tmp_path: Path) -> None:
    """Wrong ones are not stored; where the bucket is can be said by options."""
    args = [S3_URL, "--s3-access-key-id", KEY_ID, "--s3-secret-access-key", "-", "--endpoint-url", s3.url]
    refused = login(tmp_path, *args, stdin=leaks.new_secret("wrong"))
    status, said, stored = login(tmp_path, *args, stdin=secret)
    assert (refused[0], refused[2]) == (3, {})
    assert "SignatureDoesNotMatch" in refused[1]
    assert (status, stored["packages"]["S3Credentials"]["access_key_id"]) == (0, KEY_ID)
    assert said.startswith(f"Logged in to {S3_URL}.")


def test_a_login_for_a_bucket_that_is_missing_is_not_stored(s3: S3Server, secret: str, tmp_path: Path) -> None:
    """Exit status 1, and how to store it all the same."""
    args = ["s3://nowhere", "--s3-access-key-id", KEY_ID, "--s3-secret-access-key", "-", "--endpoint-url", s3.url]
    status, said, stored = login(tmp_path, *args, stdin=secret)
    assert (status, stored) == (1, {})
    assert "has no bucket 'nowhere' (NoSuchBucket)" in said
    assert "Nothing was stored." in said
    assert "--no-verify" in said


def test_a_login_says_that_it_does_not_keep_where_the_bucket_is(s3: S3Server, secret: str, tmp_path: Path) -> None:
    """And its advice works: the URL, and the lines for the configuration of the rattler family."""
    args = [S3_URL, "--s3-access-key-id", KEY_ID, "--s3-secret-access-key", "-", "--endpoint-url", s3.url]
    _, said, stored = login(tmp_path, *args, stdin=secret)
    assert f"Give --endpoint-url each time, or write s3+{s3.url}/packages/CHANNEL, or put this into " in said
    config = tmp_path / "rattler"
    config.mkdir()
    (config / "config.toml").write_text("[s3-options." + said.partition("[s3-options.")[2])
    assert checked(S3_URL, None, tmp_path, stored, RATTLER_HOME=str(config)).exit_status == ExitStatus.OK
    quiet = login(tmp_path, *args[:-2], "--no-verify", stdin=secret)
    assert "Only the credential is stored" not in quiet[1]


@pytest.mark.parametrize("place", ["./folder", "prefix.dev", "https://prefix.dev/chan", "gs://acme/chan"])
def test_options_that_are_of_no_use_are_refused(place: str, tmp_path: Path) -> None:
    """As by ``publish``."""
    with AccountingClient() as client, pytest.raises(UsageError, match=r"^--region is for (S3 )?buckets, and not for"):
        check_up(place, client, buckets=BucketOptions(region="eu"), environ={}, home=tmp_path)


def test_a_key_of_an_azure_account_needs_no_user_name(azure: AzureBlobServer, tmp_path: Path) -> None:
    """It is the account's, which the URL names. It is tried where a container is named, and found again afterwards."""
    status, said, stored = login(tmp_path, AZ_URL, "--password", "-", "--endpoint-url", azure.endpoint, stdin=azure.key)
    assert (status, stored) == (0, {"127.0.0.1": {"BasicHTTP": {"username": ACCOUNT, "password": azure.key}}})
    assert said.startswith(f"Logged in to {AZ_URL}.")
    assert checked(AZ_URL, azure.endpoint, tmp_path, stored).read is True
    bare, told, more = login(tmp_path, f"az://{ACCOUNT}", "--token", "-", stdin=azure.sas)
    assert (bare, f"az://{ACCOUNT}/CONTAINER" in told) == (0, True)
    assert more[f"{ACCOUNT}.blob.core.windows.net"] == {"BearerToken": azure.sas}


def test_a_token_for_google_is_stored_under_the_host_of_the_service(
    google: GCSServer, google_token: str, tmp_path: Path
) -> None:
    """And removed by the same name."""
    args = ["gs://acme/chan", "--token", "-"]
    status, _, stored = login(tmp_path, *args, "--endpoint-url", google.url, stdin=google_token)
    assert (status, list(stored)) == (0, ["127.0.0.1"])
    status, said, stored = login(tmp_path, *args, "--no-verify", stdin=google_token)
    assert (status, list(stored)) == (0, ["127.0.0.1", "storage.googleapis.com"])
    assert "--path keeps it to /acme/chan" in said
    out = run_keelback(["auth", "logout", GS_URL, "--auth-file", tmp_path / "auth.json"], home=tmp_path)
    assert (out.returncode, list(json.loads((tmp_path / "auth.json").read_text()))) == (0, ["127.0.0.1"])
    kind, hint, _ = login(tmp_path, GS_URL, "--conda-token", "-", stdin="x")
    assert kind == 2
    assert "gcloud auth application-default login" in hint


# --- servers that are named by their kind -----------------------------------------------------------------------------


def test_a_server_that_takes_put_is_checked_like_others_also_at_its_root(tmp_path: Path) -> None:
    """``put+https://HOST`` is a channel."""
    password = leaks.new_secret("password")
    with PutServer(("ann", password)) as server:
        stored = {"127.0.0.1": {"BasicHTTP": {"username": "ann", "password": password}}}
        result = checked(server.publish_url, None, tmp_path, stored)
        root = checked(f"put+{server.url}", None, tmp_path, stored)
    assert (result.exit_status, result.read, result.used is not None) == (ExitStatus.OK, True, True)
    assert (root.sort, root.url) == ("channel", server.url)


def test_a_key_for_cloudsmith_is_shown_to_its_api(token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which says whose it is, wherever packages are read."""
    with CloudsmithServer(token) as server:
        monkeypatch.setenv("CLOUDSMITH_CHANNEL_HOST", server.url)
        result = checked(server.publish_url, None, tmp_path, {}, CLOUDSMITH_API_KEY=token)
    assert (result.url, result.identity, result.read) == (server.channel_url, "ann", True)
    assert result.used is not None
    assert result.used.source == "the variable CLOUDSMITH_API_KEY"
