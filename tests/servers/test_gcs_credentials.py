"""Access tokens of Google Cloud: every place that they come from, in order, against endpoints that verify all of it."""

from __future__ import annotations

import json
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback.channels.buckets.attributes import index_attributes
from keelback.channels.buckets.gcsaccess import endpoint_of, find_gcs, open_bucket
from keelback.channels.session import BucketOptions, Session
from keelback.credentials.gcloud.machine import Machine
from keelback.credentials.gcloud.places import GOOGLE, Places
from keelback.credentials.oidc.gitlab import variable_for
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.credentials.opening import default_stores
from keelback.errors import CredentialError, CredentialFileError, KeelbackError, UsageError
from keelback.secret import Secret
from keelback.transport import Client, Retry
from servers.scripted import Fault, Trap
from servers.scripted.gcs_tokens import AUDIENCE, EMAIL, POOL, GoogleServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keelback.channels.buckets.gcs import GCSBucket

KEY = "noarch/repodata.json"
NO_MACHINE = {"NO_GCE_CHECK": "true"}
"""Whatever machine the tests run on."""


@pytest.fixture(scope="module")
def running() -> Iterator[GoogleServer]:
    """Google, for all tests: its key takes a while to make."""
    with GoogleServer() as google:
        yield google


@pytest.fixture
def google(running: GoogleServer) -> Iterator[GoogleServer]:
    """Google, as it is at first."""
    running.requests.clear()
    running.expire()
    running.behave()
    running.members, running.expires_in, running.flavor = {}, 3599, "Google"
    yield running
    running.assert_clean()


@pytest.fixture
def client() -> Iterator[Client]:
    """What sends the requests."""
    with Client(retry=Retry(attempts=2, base=0.001), timeout=10.0, insecure_hosts=["127.0.0.1"]) as one:
        yield one


@pytest.fixture
def session(google: GoogleServer, client: Client, tmp_path: Path) -> Callable[..., Session]:
    """Makes a session of these variables, and with this in its auth file."""

    def make(environ: dict[str, str] | None = None, stored: dict[str, Any] | None = None, **options: Any) -> Session:
        auth_file = leaks.holds_secrets(tmp_path / "auth.json")
        auth_file.write_text(json.dumps(stored or {}), encoding="utf-8")
        buckets = BucketOptions(endpoint_url=google.url)
        home = {"CLOUDSDK_CONFIG": str(tmp_path / "gcloud"), **NO_MACHINE}
        environ = {name: value for name, value in (home | (environ or {})).items() if value}
        return Session(client, lambda: default_stores(auth_file), environ=environ, **{"buckets": buckets, **options})

    return make


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Writes a credential file, and gives the variable that names it."""

    def write(members: object) -> dict[str, str]:
        path = leaks.holds_secrets(tmp_path / "key.json")
        path.write_text(members if isinstance(members, str) else json.dumps(members), encoding="utf-8")
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}

    return write


def bucket_for(session: Session, google: GoogleServer) -> GCSBucket:
    """The bucket of *google*."""
    return open_bucket(session, "acme", "chan", places=Places.at(google.url))


def works(session: Session, google: GoogleServer) -> str:
    """What a credential that works came from."""
    bucket = bucket_for(session, google)
    bucket.write(KEY, b"{}", index_attributes(KEY))
    access = bucket.access()
    assert access is not None
    leaks.check(repr(access), "the repr of the access")
    return access.source


def failure(do: Callable[[], object]) -> KeelbackError:
    """How *do* fails; no secret is in the error, nor in anything that led to it."""
    with pytest.raises(KeelbackError) as caught:
        do()
    error = caught.value
    leaks.check(f"{error.hint} {error!r} {''.join(traceback.format_exception(error))}", "the error")
    assert error.hint.endswith(".")
    return error


# -- what credential files hold --------------------------------------------------------------------------------------


def person(google: GoogleServer, **changes: Any) -> dict[str, Any]:
    """What ``gcloud auth application-default login`` leaves behind."""
    members = {
        "type": "authorized_user",
        "client_id": "gcloud",
        "client_secret": google.client_secret,
        "refresh_token": google.refresh_token,
        "token_uri": f"{google.url}/token",
        "universe_domain": "googleapis.com",
    }
    return {name: value for name, value in (members | changes).items() if value is not None}


def service_account(google: GoogleServer, **changes: Any) -> dict[str, Any]:
    """The key of a service account."""
    return {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key": google.pem,
        "private_key_id": "key-1",
        "token_uri": f"{google.url}/token",
        **changes,
    }


def impersonation(google: GoogleServer) -> dict[str, str]:
    """As which service account somebody acts."""
    url = f"{google.url}/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken"
    return {"service_account_impersonation_url": url}


def federated(google: GoogleServer, source: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What ``gcloud iam workload-identity-pools create-cred-config`` makes."""
    return {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{POOL}",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{google.url}/v1/token",
        "credential_source": source,
        **changes,
    }


def test_a_login_with_gcloud_serves(google: GoogleServer, session: Any, file: Any) -> None:
    """One token for all requests of a run."""
    environ = file(person(google))
    made = session(environ)
    assert environ["GOOGLE_APPLICATION_CREDENTIALS"] in works(made, google)
    assert google.steps() == ["token", "insert"]


def test_the_file_that_gcloud_keeps_is_found(google: GoogleServer, session: Any, tmp_path: Path) -> None:
    """Where ``CLOUDSDK_CONFIG`` puts it; the one that is named goes before it."""
    (tmp_path / "gcloud").mkdir()
    path = leaks.holds_secrets(tmp_path / "gcloud" / "application_default_credentials.json")
    path.write_text(json.dumps(person(google)), encoding="utf-8")
    assert "application_default_credentials.json" in works(session(), google)


def test_a_login_that_was_revoked_says_how_to_log_in_again(google: GoogleServer, session: Any, file: Any) -> None:
    """With Google's own words."""
    made = session(file(person(google, refresh_token=leaks.new_secret("revoked"))))
    error = failure(lambda: works(made, google))
    assert isinstance(error, CredentialError)
    assert "invalid_grant: Token has been expired or revoked." in error.message
    assert "gcloud auth application-default login" in error.hint


def test_the_key_of_a_service_account_signs(google: GoogleServer, session: Any, file: Any) -> None:
    """What it signs is verified by the server."""
    assert EMAIL in works(session(file(service_account(google))), google)
    assert google.steps() == ["token", "insert"]


@pytest.mark.parametrize("key", ["no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_not_shown(google: GoogleServer, session: Any, file: Any, key: str) -> None:
    """The file is named, and nothing of it."""
    error = failure(lambda: works(session(file(service_account(google, private_key=key))), google))
    assert isinstance(error, CredentialFileError)
    assert "'private_key'" in error.message
    assert key not in error.message


def test_without_what_signs_the_extra_is_named(
    google: GoogleServer, session: Any, file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else works without it."""
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    error = failure(lambda: works(session(file(service_account(google))), google))
    assert error.code == "missing-extra"
    assert "keelback[gcs]" in error.hint


@pytest.mark.parametrize("how", ["text", "json"])
def test_an_identity_in_a_file_is_exchanged(
    google: GoogleServer, session: Any, file: Any, tmp_path: Path, how: str
) -> None:
    """As Kubernetes puts it there, by itself or in JSON."""
    path = leaks.holds_secrets(tmp_path / "identity")
    identity = google.gate.identity()
    path.write_text(identity if how == "text" else json.dumps({"id": identity}), encoding="utf-8")
    source: dict[str, Any] = {"file": str(path)}
    if how == "json":
        source["format"] = {"type": "json", "subject_token_field_name": "id"}
    works(session(file(federated(google, source))), google)
    assert google.steps() == ["sts", "insert"]


def test_an_identity_at_a_url_is_exchanged_and_acts_as_a_service_account(
    google: GoogleServer, session: Any, file: Any
) -> None:
    """What ``google-github-actions/auth`` writes."""
    layout = {"type": "json", "subject_token_field_name": "value"}
    source = {"url": f"{google.url}/identity", "headers": {"X-For": "keelback"}, "format": layout}
    works(session(file(federated(google, source, **impersonation(google)))), google)
    assert google.steps() == ["identity", "sts", "impersonate", "insert"]


def test_one_account_acts_as_another(google: GoogleServer, session: Any, file: Any) -> None:
    """``gcloud auth application-default login --impersonate-service-account``."""
    members = {"type": "impersonated_service_account", "source_credentials": person(google), **impersonation(google)}
    works(session(file(members)), google)
    assert google.steps() == ["token", "impersonate", "insert"]


def test_who_may_not_act_as_it_is_told_which_role_is_missing(google: GoogleServer, session: Any, file: Any) -> None:
    """With the permission that Google names."""
    google.plan(Fault("status", when="impersonate", status=403, body='{"error": {"message": "Permission denied"}}'))
    members = {"type": "impersonated_service_account", "source_credentials": person(google), **impersonation(google)}
    error = failure(lambda: works(session(file(members)), google))
    assert "Permission denied" in error.message
    assert "roles/iam.serviceAccountTokenCreator" in error.hint


FOREIGN = ["http://oauth2.googleapis.com/token", "https://evil.example/token", "https://googleapis.com.evil.example/t"]
FOREIGN += ["https://oauth2.googleapis.com@evil.example/token", "https://evil.example\\.googleapis.com/", "x", ""]


@pytest.mark.parametrize("url", FOREIGN)
def test_no_secret_of_a_file_goes_where_the_file_alone_says(
    google: GoogleServer, session: Any, file: Any, url: str
) -> None:
    """A file that somebody else made could name any server."""
    for members in (
        person(google, token_uri=url),
        service_account(google, token_uri=url),
        federated(google, {"file": "x"}, token_url=url),
        federated(google, {"file": "x"}, service_account_impersonation_url=url or "x"),
    ):
        error = failure(lambda members=members: works(session(file(members)), google))
        assert isinstance(error, CredentialFileError)
        assert google.requests == []


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"url": "http://intranet.example/identity"}, "plain-http"),
        ({"url": "http://169.254.169.254/identity", "headers": {"Authorization": "Bearer abcdefgh"}}, "plain-http"),
        ({"url": "file:///etc/passwd"}, "plain-http"),
        ({"executable": {"command": "/bin/sh -c whatever"}}, "unsupported"),
        ({"environment_id": "aws1", "url": "http://169.254.169.254/latest"}, "unsupported"),
        ({}, "unsupported"),
    ],
)
def test_an_identity_comes_from_nowhere_strange(
    google: GoogleServer, session: Any, file: Any, source: dict[str, Any], code: str
) -> None:
    """No program is run for it, and it does not go over plain HTTP."""
    assert failure(lambda: works(session(file(federated(google, source))), google)).code == code


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"type": 5}', "{}", '{"type": "authorized_user"}', "[" * 5000, '"\\ud800"', "x" * 70000],
)
def test_a_file_that_is_none_is_an_error_that_names_it(
    google: GoogleServer, session: Any, file: Any, content: str
) -> None:
    """And says where in it, as far as that can be told."""
    environ = file(content)
    error = failure(lambda: works(session(environ), google))
    assert isinstance(error, CredentialFileError)
    assert environ["GOOGLE_APPLICATION_CREDENTIALS"] in error.message


def test_a_file_that_is_named_has_to_be_there(google: GoogleServer, session: Any, tmp_path: Path) -> None:
    """Nothing else is taken in its place."""
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "nothing.json")}
    assert isinstance(failure(lambda: works(session(environ), google)), CredentialFileError)


@pytest.mark.parametrize("kind", ["external_account_authorized_user", "gdch_service_account", "\x1b[31mred"])
def test_a_type_that_is_not_known_is_said(google: GoogleServer, session: Any, file: Any, kind: str) -> None:
    """With those that are."""
    error = failure(lambda: works(session(file({"type": kind})), google))
    assert error.code == "unsupported"
    assert "\x1b" not in error.message


def test_another_cloud_than_the_public_one_is_said(google: GoogleServer, session: Any, file: Any) -> None:
    """Instead of sending its secrets to the wrong one."""
    assert (
        failure(lambda: works(session(file(person(google, universe_domain="s3ns.fr"))), google)).code == "unsupported"
    )
    environ = {**file(person(google)), "GOOGLE_CLOUD_UNIVERSE_DOMAIN": "s3ns.fr"}
    assert failure(lambda: works(session(environ), google)).code == "unsupported"


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_that_is_refused_is_renewed_once(google: GoogleServer, session: Any, file: Any) -> None:
    """As when it is revoked in the middle of a run."""
    bucket = bucket_for(session(file(person(google))), google)
    bucket.write(KEY, b"1", index_attributes(KEY))
    google.expire()
    bucket.write(KEY, b"2", index_attributes(KEY))
    assert google.steps().count("token") == 2


@pytest.mark.parametrize(
    "members",
    [
        {"access_token": None},
        {"access_token": "short"},
        {"access_token": "has a space in it, " * 2},
        {"token_type": "MAC"},
    ],
)
def test_an_answer_without_a_token_is_an_error(
    google: GoogleServer, session: Any, file: Any, members: dict[str, Any]
) -> None:
    """And nothing of it is shown."""
    google.members = members
    error = failure(lambda: works(session(file(person(google))), google))
    assert "Google gave no access token" in error.message or "token from Google" in error.message


@pytest.mark.parametrize("life", [None, -5, "3600", True, float("1e300")])
def test_a_life_that_is_none_does_no_harm(google: GoogleServer, session: Any, file: Any, life: Any) -> None:
    """The token is used all the same."""
    google.expires_in = life
    works(session(file(person(google))), google)


def test_no_redirect_is_followed_with_a_secret(google: GoogleServer, session: Any, file: Any) -> None:
    """Wherever it leads."""
    with Trap() as trap:
        google.plan(Fault("redirect", when="token", status=307, to=trap.url))
        assert "redirects" in failure(lambda: works(session(file(person(google))), google)).message
        assert trap.requests == []


# -- the order -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN"])
def test_a_token_in_a_variable_goes_before_everything(
    google: GoogleServer, session: Any, file: Any, variable: str
) -> None:
    """Files are not even read."""
    token = google.mint()
    assert variable in works(session({**file("no JSON"), variable: token}), google)
    assert google.steps() == ["insert"]


def test_a_token_in_a_variable_is_for_all_buckets_of_one_service(google: GoogleServer, session: Any) -> None:
    """A copy has two of them; another service does not get it."""
    made = session({"GOOGLE_OAUTH_ACCESS_TOKEN": google.mint()})
    places = Places.at(google.url)
    for folder in ("dev", "release"):
        assert find_gcs(made, "acme", folder, google.url, places=places) is not None
    error = failure(lambda: find_gcs(made, "acme", "dev", "https://gcs.example", places=places))
    assert "would go to" in error.message


@pytest.mark.parametrize("key", ["storage.googleapis.com", "*.googleapis.com"])
def test_the_stores_go_before_the_files(google: GoogleServer, session: Any, file: Any, key: str) -> None:
    """A token under the host of the service."""
    stored = {key: {"BearerToken": google.mint()}}
    assert key in works(session(file("no JSON"), stored), google)


def test_a_bucket_does_not_get_the_credential_of_a_host_with_its_name(google: GoogleServer, session: Any) -> None:
    """Anybody can call a bucket like a server."""
    made = session({}, {"acme": {"BearerToken": leaks.new_secret("of-a-host")}})
    assert bucket_for(made, google).access() is None


def test_keys_for_s3_are_no_token(google: GoogleServer, session: Any) -> None:
    """Which kinds are, is said."""
    keys = {"access_key_id": "GOOG1E", "secret_access_key": leaks.new_secret("hmac")}
    error = failure(lambda: works(session({}, {"storage.googleapis.com": {"S3Credentials": keys}}), google))
    assert error.code == "wrong-kind"
    assert "BearerToken" in error.message


def test_a_machine_at_google_has_an_account(google: GoogleServer, session: Any) -> None:
    """Where ``GCE_METADATA_HOST`` says, or at the usual place."""
    host = google.url.removeprefix("http://")
    assert works(session({"GCE_METADATA_HOST": host}), google) == "the service account of this machine"
    assert works(session({"NO_GCE_CHECK": "", "K_SERVICE": "mine"}), google) == "the service account of this machine"


def test_a_machine_is_told_without_asking_anybody(tmp_path: Path) -> None:
    """By the name of its product, or by the service that runs it."""
    product = tmp_path / "product_name"
    assert Machine.here({}, GOOGLE, product) is None
    product.write_text("Google Compute Engine\n", encoding="utf-8")
    assert Machine.here({}, GOOGLE, product) == Machine("http://metadata.google.internal")
    assert Machine.here(NO_MACHINE, GOOGLE, product) is None


@pytest.mark.parametrize("trouble", ["flavor", "status", "proxy"])
def test_a_metadata_server_that_is_none_is_an_error(
    google: GoogleServer, session: Any, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answers there could be anybody."""
    environ = {"GCE_METADATA_HOST": google.url.removeprefix("http://")}
    if trouble == "flavor":
        google.flavor = None
    elif trouble == "status":
        google.plan(Fault("status", when="metadata", status=404, headers=(("Metadata-Flavor", "Google"),)))
    else:
        environ = {"GCE_METADATA_HOST": "metadata.example"}
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert "access token" in failure(lambda: works(session(environ), google)).message


# -- the identity of a CI system -------------------------------------------------------------------------------------


def in_ci(google: GoogleServer, **more: str) -> dict[str, str]:
    """The variables of a job that has an identity for Google."""
    return {
        "GITLAB_CI": "true",
        variable_for(AUDIENCE): google.gate.identity(),
        "GOOGLE_WORKLOAD_IDENTITY_PROVIDER": POOL,
        **more,
    }


@pytest.mark.parametrize("start", ["", "//iam.googleapis.com/", "https://iam.googleapis.com/"])
def test_a_job_needs_no_file(google: GoogleServer, session: Any, start: str) -> None:
    """A variable names the provider, however it is written."""
    environ = in_ci(google, GOOGLE_WORKLOAD_IDENTITY_PROVIDER=start + POOL)
    assert "trusted publishing" in works(session(environ), google)
    assert google.steps() == ["sts", "insert"]


def test_a_job_may_act_as_a_service_account(google: GoogleServer, session: Any) -> None:
    """Where another variable names it."""
    works(session(in_ci(google, GOOGLE_SERVICE_ACCOUNT=EMAIL)), google)
    assert google.steps() == ["sts", "impersonate", "insert"]


def test_never_is_never(google: GoogleServer, session: Any) -> None:
    """``--trusted-publishing never``: no identity is shown to anybody."""
    made = session(in_ci(google), trusted=TrustedPublishing.of("never"))
    assert isinstance(failure(lambda: works(made, google)), CredentialError)
    assert google.steps() == []


def test_always_takes_nothing_in_its_place(google: GoogleServer, session: Any, file: Any) -> None:
    """Not even a file that works."""
    always = TrustedPublishing.of("always")
    assert "sts" in (works(session({**in_ci(google), **file(person(google))}, trusted=always), google), *google.steps())
    error = failure(lambda: works(session(file(person(google)), trusted=always), google))
    assert isinstance(error, UsageError)
    assert "GOOGLE_WORKLOAD_IDENTITY_PROVIDER" in error.hint


def test_an_identity_that_was_made_elsewhere_is_exchanged(google: GoogleServer, session: Any) -> None:
    """``--oidc-token``."""
    trusted = TrustedPublishing.of(id_token=Secret(google.gate.identity(), "--oidc-token"))
    works(session({"GOOGLE_WORKLOAD_IDENTITY_PROVIDER": POOL}, trusted=trusted), google)
    assert google.steps() == ["sts", "insert"]


def test_an_identity_that_is_not_let_in_is_told_why(google: GoogleServer, session: Any) -> None:
    """With what it says of itself; where a file serves, that is used."""
    environ = in_ci(google) | {variable_for(AUDIENCE): google.gate.identity(repository="acme/other")}
    error = failure(lambda: works(session(environ), google))
    assert "invalid_grant" in error.message
    assert "acme/other" in error.message


@pytest.mark.parametrize(
    "environ",
    [
        {"GOOGLE_WORKLOAD_IDENTITY_PROVIDER": "my-provider"},
        {"GOOGLE_WORKLOAD_IDENTITY_PROVIDER": f"{POOL}/../x"},
        {"GOOGLE_WORKLOAD_IDENTITY_PROVIDER": POOL, "GOOGLE_SERVICE_ACCOUNT": "a/b@c"},
    ],
)
def test_variables_that_make_no_sense_are_wrong_usage(
    google: GoogleServer, session: Any, environ: dict[str, str]
) -> None:
    """Before anything is sent."""
    assert isinstance(failure(lambda: works(session(environ), google)), UsageError)
    assert google.steps() == []


# -- where the service is --------------------------------------------------------------------------------------------


def test_an_emulator_gets_no_credential_of_google(google: GoogleServer, session: Any, file: Any) -> None:
    """It is named as for Google's own libraries, with or without a scheme."""
    environ = {**file(person(google)), "STORAGE_EMULATOR_HOST": "127.0.0.1:4443"}
    stored = {"storage.googleapis.com": {"BearerToken": google.mint()}}
    made = session(environ, stored, buckets=BucketOptions())
    assert endpoint_of(made) == "http://127.0.0.1:4443"
    assert find_gcs(made, "acme", "chan", endpoint_of(made)) is None
    assert open_bucket(made, "acme", "a b").reading_url == "http://127.0.0.1:4443/acme/a%20b"


def test_without_anything_it_is_googles_own(session: Any) -> None:
    """And readers get the same host."""
    bucket = open_bucket(session(buckets=BucketOptions()), "acme", "chan")
    assert (bucket.url, bucket.reading_url) == ("gs://acme/chan", "https://storage.googleapis.com/acme/chan")
    assert bucket.access() is None


@pytest.mark.parametrize("url", ["ftp://x", "https://u:p@x", "https://x?y", "https://", "x"])
def test_an_endpoint_that_is_none_is_wrong_usage(session: Any, url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError):
        endpoint_of(session(buckets=BucketOptions(endpoint_url=url)))
