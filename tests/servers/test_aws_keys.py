"""Which keys a bucket gets: given, stored, or found where the AWS SDKs would find them, with real servers for those."""

from __future__ import annotations

import copy as shallow
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback import Retry
from keelback.channels.buckets.keycheck import check_keys
from keelback.channels.buckets.s3 import S3Bucket
from keelback.channels.session import BucketOptions, Session
from keelback.credentials.authfile import FileStore
from keelback.credentials.aws import container, metadata
from keelback.credentials.aws.chain import KeySource, find_keys
from keelback.credentials.aws.keys import Keys
from keelback.credentials.aws.profiles import Profiles
from keelback.credentials.aws.settings import S3Settings
from keelback.credentials.kinds import S3Credentials
from keelback.credentials.oidc.gitlab import variable_for
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.errors import (
    CredentialError,
    CredentialFileError,
    ExchangeError,
    IdentityError,
    KeelbackError,
    ServerError,
    UsageError,
)
from keelback.secret import Secret, listening
from keelback.transport import Client
from servers.scripted import Fault, Trap
from servers.scripted.aws_services import INSTANCE_ROLE, ROLE, ContainerServer, InstanceServer, RoleServer, iso
from servers.scripted.s3 import S3Server
from servers.scripted.token_exchanges import LOOPBACK, TokenService
from servers.scripted.token_exchanges import ROLE as IDENTITY_ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "s3://bucket/channel"
NO_MACHINE = {"AWS_EC2_METADATA_DISABLED": "true"}
SECRETS = [leaks.new_secret(f"secret-{number}") for number in range(8)]


class Place:
    """A machine with a home, variables, an auth file, and the files of the AWS SDKs."""

    def __init__(self, client: Client, home: Path) -> None:
        self.client = client
        self.home = home
        self.environ: dict[str, str] = dict(NO_MACHINE)
        self.trusted = TrustedPublishing()
        self.options = BucketOptions()
        (home / ".aws").mkdir(mode=0o700)

    def write(self, name: str, text: str) -> None:
        """Put *text* into the file *name* of the AWS SDKs."""
        path = leaks.holds_secrets(self.home / ".aws" / name)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)

    def store(self, key: str, entry: dict[str, Any]) -> None:
        """Put one entry into the auth file."""
        path = leaks.holds_secrets(self.home / "auth.json")
        path.write_text(json.dumps({key: entry}), encoding="utf-8")
        path.chmod(0o600)

    def session(self) -> Session:
        """A run."""
        stores = [FileStore(self.home / "auth.json", "auth.json")]
        return Session(self.client, lambda: stores, None, self.environ, self.trusted, self.options)

    def find(self, url: str = URL, session: Session | None = None) -> KeySource | None:
        """The keys for *url*, in a run of their own or in that one."""
        session = session or self.session()
        return find_keys(session, url, session.buckets, Profiles(self.environ, self.home))

    def found(self) -> tuple[str, str]:
        """The ID of the keys, and their source; neither prints a secret."""
        keys = self.find()
        assert keys is not None
        leaks.check(f"{keys!r} {keys.current()!r}", "a repr")
        return keys.current().access_key_id, keys.source

    def failure(self, kind: type[KeelbackError] = KeelbackError) -> KeelbackError:
        """How it fails, without a secret."""
        with pytest.raises(kind) as caught:
            self.find()
        error = caught.value
        leaks.check(f"{error.message} {error.hint} {error!r} {error.__cause__!r}", "the error")
        return error


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """What sends the requests."""
    with Client(retry=Retry(attempts=3, base=0.01), timeout=10.0) as one:
        yield one


@pytest.fixture
def place(client: Client, tmp_path: Path) -> Place:
    """A machine on which nothing is set up."""
    return Place(client, tmp_path)


def variables(prefix: str, number: int) -> dict[str, str]:
    """A pair of variables."""
    return {f"{prefix}_ACCESS_KEY_ID": f"{prefix}{number}", f"{prefix}_SECRET_ACCESS_KEY": SECRETS[number]}


def profile(number: int, name: str = "default") -> str:
    """A section with keys."""
    return f"[{name}]\naws_access_key_id = PROFILE{number}\naws_secret_access_key = {SECRETS[number]}\n"


# --- the order --------------------------------------------------------------------------------------------------------


def test_keys_are_taken_from_the_first_place_that_has_some(place: Place) -> None:
    """Taken away one after the other; without any, a bucket is asked without keys."""
    with InstanceServer() as machine, ContainerServer() as task, TokenService() as service:
        place.environ = {
            **variables("S3", 0),
            **variables("AWS", 1),
            "AWS_ROLE_ARN": IDENTITY_ROLE,
            "AWS_ENDPOINT_URL_STS": service.url,
            "GITLAB_CI": "true",
            variable_for(LOOPBACK): service.gate.identity(),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{task.url}/v2/credentials/task",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": machine.url,
        }
        place.options = BucketOptions(access_key_id="OPTION", secret_access_key=Secret(SECRETS[2]))
        place.store("s3://bucket", {"S3Credentials": {"access_key_id": "STORED", "secret_access_key": SECRETS[3]}})
        place.write("credentials", profile(4))

        order = [place.found()]
        place.options = BucketOptions()
        order.append(place.found())
        del place.environ["S3_ACCESS_KEY_ID"], place.environ["S3_SECRET_ACCESS_KEY"]
        order.append(place.found())
        place.store("other", {"S3Credentials": {"access_key_id": "STORED", "secret_access_key": SECRETS[3]}})
        order.append(place.found())
        del place.environ["AWS_ACCESS_KEY_ID"], place.environ["AWS_SECRET_ACCESS_KEY"]
        assert service.requests + machine.requests + task.requests == []
        order.append(place.found())
        del place.environ["AWS_ROLE_ARN"]
        order.append(place.found())
        place.write("credentials", "")
        order.append(place.found())
        assert not machine.requests
        del place.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        order.append(place.found())
        place.environ["AWS_EC2_METADATA_DISABLED"] = "true"
        assert place.find() is None
    assert order == [
        ("OPTION", "--access-key-id and --secret-access-key"),
        ("S30", "the variables S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY"),
        ("STORED", "key 's3://bucket' of auth.json"),
        ("AWS1", "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (service.given[0]["AccessKeyId"], f"the role {IDENTITY_ROLE} (with the identity from GitLab CI)"),
        ("PROFILE4", "profile 'default' of ~/.aws/credentials"),
        (task.given[0]["AccessKeyId"], "this container's role"),
        (machine.given[0]["AccessKeyId"], f"this machine's role {INSTANCE_ROLE}"),
    ]
    for server in (machine, task, service):
        server.assert_clean()


@pytest.mark.parametrize("prefix", ["S3", "AWS"])
def test_keys_in_variables_go_to_one_service_in_a_run(place: Place, prefix: str) -> None:
    """To as many of its buckets as there are; those that are stored go on to theirs."""
    place.environ |= variables(prefix, 0)
    run = place.session()
    for endpoint in ("https://one.example", "https://one.example", "https://two.example"):
        run.buckets = BucketOptions(endpoint_url=endpoint)
        if "two" not in endpoint:
            assert place.find(session=run) is not None
    with pytest.raises(UsageError, match=r"would go to https://one\.example and to https://two\.example") as caught:
        place.find(session=run)
    assert caught.value.message.startswith(f"the variables {prefix}_ACCESS_KEY_ID")
    assert "keelback auth login" in caught.value.hint

    regions = place.session()
    for region in ("eu-west-1", "us-east-1"):  # all of them are Amazon's
        regions.buckets = BucketOptions(region=region)
        assert place.find(session=regions) is not None


def test_where_keys_come_from_is_asked_once_in_a_run(place: Place) -> None:
    """A copy from one bucket to another asks several times; a process may ask a person each time."""
    count = leaks.holds_secrets(place.home / "count")
    document = {"Version": 1, "AccessKeyId": "PROCESS", "SecretAccessKey": SECRETS[0]}
    leaks.holds_secrets(place.home / "keys.py")
    process(place, f"open({str(count)!r}, 'a').write('x')\n{printing(document)}")
    run = place.session()
    of_source = shallow.copy(run)
    found = [place.find(url, session) for url in (URL, "s3://other/channel") for session in (run, of_source)]
    assert {keys and keys.current().access_key_id for keys in found} == {"PROCESS"}
    assert count.read_text() == "x"


# --- given ------------------------------------------------------------------------------------------------------------


def test_a_session_token_belongs_to_its_keys(place: Place) -> None:
    """One in a variable does not go with keys that are both options."""
    place.environ |= {**variables("S3", 0), "S3_SESSION_TOKEN": SECRETS[1]}
    keys = place.find()
    assert keys is not None
    assert keys.current() == S3Credentials("S30", Secret(SECRETS[0]), Secret(SECRETS[1]))
    place.options = BucketOptions(access_key_id="OPTION", secret_access_key=Secret(SECRETS[2]))
    keys = place.find()
    assert keys is not None
    assert keys.current().session_token is None


def test_the_secret_may_be_in_a_variable_and_the_rest_in_an_option(place: Place) -> None:
    """So that it need not stand in a command line."""
    place.options = BucketOptions(access_key_id="OPTION")
    place.environ["S3_SECRET_ACCESS_KEY"] = SECRETS[0]
    assert place.found() == ("OPTION", "--access-key-id and S3_SECRET_ACCESS_KEY")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"S3_ACCESS_KEY_ID": "AK"}, "--secret-access-key or S3_SECRET_ACCESS_KEY"),
        ({"S3_ACCESS_KEY_ID": "AK", "S3_SECRET_ACCESS_KEY": ""}, "--secret-access-key or S3_SECRET_ACCESS_KEY"),
        ({"S3_SECRET_ACCESS_KEY": SECRETS[0]}, "--access-key-id or S3_ACCESS_KEY_ID"),
        ({"S3_SESSION_TOKEN": SECRETS[0]}, "--access-key-id or S3_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "AK", "AWS_SESSION_TOKEN": SECRETS[0]}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": SECRETS[0]}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_half_of_a_pair_is_wrong_usage(place: Place, given: dict[str, str], missing: str) -> None:
    """In CI, the other half is a secret that this job does not get; the error names it, and nothing else is tried."""
    place.write("credentials", profile(1))
    place.environ |= given
    error = place.failure(UsageError)
    assert error.message.startswith(f"{missing} is missing")


@pytest.mark.parametrize("key_id", ["A K", "AK\r\nx: y", '"AK"\n', "AK/x", "AK,x", "A" * 129, "\N{SNOWMAN}"])
def test_an_id_that_would_break_a_header_is_refused(place: Place, key_id: str) -> None:
    """And so is a secret that cannot be one."""
    place.environ |= {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": SECRETS[0]}
    assert place.failure(CredentialError).code == "bad-token"
    place.environ |= {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": f"{SECRETS[0]} x"}
    assert place.failure(CredentialError).code == "bad-token"


def test_a_stored_credential_of_another_kind_is_an_error(place: Place) -> None:
    """It says under which key it is, and what would do."""
    place.store("bucket", {"BearerToken": SECRETS[0]})
    error = place.failure(CredentialError)
    assert error.code == "wrong-kind"
    assert "key 'bucket' of auth.json; it takes S3Credentials" in error.message


# --- a role, with an identity -----------------------------------------------------------------------------------------


def role_of(place: Place, service: TokenService) -> None:
    """Have the variables name a role, and GitLab CI offer an identity."""
    place.environ |= {
        "AWS_ROLE_ARN": IDENTITY_ROLE,
        "AWS_ENDPOINT_URL_STS": service.url,
        "GITLAB_CI": "true",
        variable_for(LOOPBACK): service.gate.identity(),
    }


def test_who_insists_on_trusted_publishing_gets_the_role_or_an_error(place: Place) -> None:
    """Whatever else there is."""
    with TokenService() as service:
        place.environ |= variables("AWS", 0)
        place.trusted = TrustedPublishing.of("always")
        assert "AWS_ROLE_ARN" in place.failure(UsageError).hint
        place.options = BucketOptions(access_key_id="OPTION", secret_access_key=Secret(SECRETS[2]))
        assert "cannot be combined with --trusted-publishing always" in place.failure(UsageError).message
        place.options = BucketOptions()
        role_of(place, service)
        assert place.found()[0] == service.given[0]["AccessKeyId"]
        del place.environ["GITLAB_CI"]
        assert isinstance(place.failure(IdentityError), IdentityError)


def test_nobody_who_does_not_want_it_has_an_identity_exchanged(place: Place) -> None:
    """Nor one in a file; what comes later in the order serves."""
    with TokenService() as service:
        role_of(place, service)
        path = leaks.holds_secrets(place.home / "token")
        path.write_text(service.gate.identity(), encoding="ascii")
        place.environ["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(path)
        place.write("credentials", profile(0))
        place.trusted = TrustedPublishing.of("never")
        assert place.found()[0] == "PROFILE0"
        assert service.requests == []
        place.trusted = TrustedPublishing()
        assert "AWS_WEB_IDENTITY_TOKEN_FILE" in place.found()[1]


def test_an_identity_that_was_given_goes_before_that_in_a_file(place: Place) -> None:
    """As by ``--oidc-token``."""
    with TokenService() as service:
        role_of(place, service)
        place.environ["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(place.home / "gone")
        place.trusted = TrustedPublishing.of("auto", id_token=Secret(service.gate.identity(), "--oidc-token"))
        assert place.found()[1] == f"the role {IDENTITY_ROLE} (with the identity from --oidc-token)"


def test_a_role_without_an_identity_is_passed_over(place: Place) -> None:
    """As the AWS SDKs do: a developer's machine may have the variable of CI."""
    place.environ["AWS_ROLE_ARN"] = IDENTITY_ROLE
    place.write("credentials", profile(0))
    assert place.found()[0] == "PROFILE0"


def test_a_role_that_cannot_be_assumed_is_an_error_and_nothing_else_is_used(place: Place) -> None:
    """Whoever named it wants it."""
    with TokenService() as service:
        role_of(place, service)
        place.write("credentials", profile(0))
        service.gate.lets_in = "acme/bar"
        assert "trust policy" in place.failure(ExchangeError).hint


# --- profiles ---------------------------------------------------------------------------------------------------------


def test_the_credentials_file_goes_before_the_config_file(place: Place) -> None:
    """For each setting; and ``[profile default]`` before ``[default]``."""
    place.write("config", profile(0) + profile(1, "profile default") + profile(2, "profile dev"))
    assert place.found() == ("PROFILE1", "profile 'default' of ~/.aws/config")
    place.write("credentials", profile(3, "dev") + f"aws_session_token={SECRETS[4]}\n")
    place.environ["AWS_PROFILE"] = "dev"
    keys = place.find()
    assert keys is not None
    assert keys.current() == S3Credentials("PROFILE3", Secret(SECRETS[3]), Secret(SECRETS[4]))


def test_a_profile_with_half_of_a_pair_is_an_error_with_its_line(place: Place) -> None:
    """And without what is there."""
    place.write("credentials", f"[other]\n\n[default]\naws_secret_access_key = {SECRETS[0]}\n")
    error = place.failure(CredentialFileError)
    assert error.message == (
        "~/.aws/credentials, line 3: profile 'default' has an aws_secret_access_key and no aws_access_key_id."
    )


@pytest.mark.parametrize("setting", ["sso_session = corp", "sso_start_url = https://x.example", "login_session = x"])
def test_a_profile_that_logs_in_elsewhere_says_how_its_keys_are_handed_over(place: Place, setting: str) -> None:
    """By AWS's own tool."""
    place.write("config", f"[profile dev]\n{setting}\n")
    place.environ["AWS_PROFILE"] = "dev"
    error = place.failure(CredentialFileError)
    assert "aws configure export-credentials --profile dev" in error.hint


def process(place: Place, code: str) -> None:
    """Have the default profile run that Python code."""
    script = place.home / "keys.py"
    script.write_text(f"import json, os, sys\n{code}\n", encoding="utf-8")
    place.write("config", f'[default]\ncredential_process = "{sys.executable}" -S "{script}" \'two words\'\n')


def printing(document: object) -> str:
    """Code that prints *document*, which is in no file of its own."""
    return f"print({json.dumps(document)!r})"


def test_a_process_prints_keys(place: Place) -> None:
    """No shell sees its command; it has the run's variables, and not the identities of a CI job."""
    document = {"Version": 1, "AccessKeyId": "PROCESS", "SecretAccessKey": SECRETS[0], "SessionToken": SECRETS[1]}
    checks = "assert sys.argv[1:] == ['two words'] and os.environ['SAID'] == 'x' and 'ACME_ID_TOKEN' not in os.environ"
    leaks.holds_secrets(place.home / "keys.py")
    process(place, f"{checks}\n{printing(document)}")
    place.environ |= {**os.environ, "SAID": "x", "ACME_ID_TOKEN": "x", **NO_MACHINE}
    assert place.found() == ("PROCESS", "the credential_process of profile 'default' of ~/.aws/config")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("sys.exit('log in first')", "exit status 1: log in first"),
        ("print('[]')", "not a JSON object"),
        ("print('<html>')", "not a JSON object"),
        ("print('[' * 50_000)", "not a JSON object"),
        (printing({"Version": 2, "AccessKeyId": "A", "SecretAccessKey": SECRETS[0]}), "'Version' 1"),
        (printing({"Version": 1, "AccessKeyId": "A"}), "no 'SecretAccessKey'"),
        (printing({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": 12345678}), "no 'SecretAccessKey'"),
        (printing({"Version": 1, "AccessKeyId": "A B", "SecretAccessKey": SECRETS[0]}), "access key ID"),
        (printing({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": f"{SECRETS[0]}\nb"}), "line break"),
        (
            printing({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": SECRETS[0], "Expiration": "soon"}),
            "'Expiration'",
        ),
    ],
)
def test_a_process_that_gives_no_keys_is_an_error(place: Place, code: str, why: str) -> None:
    """It names the profile, and shows nothing of what was printed."""
    leaks.holds_secrets(place.home / "keys.py")
    process(place, code)
    error = place.failure(CredentialError)
    assert error.code == "helper"
    assert error.message.startswith("The credential_process of profile 'default' of ~/.aws/config ")
    assert why in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("'unclosed", "quotes do not match"),
        ("./here", "cannot be run|working directory|PATH"),
        ("no-such-program-x", "PATH"),
    ],
)
def test_a_process_that_cannot_be_run_is_an_error(place: Place, command: str, why: str) -> None:
    """A program in the working directory is none."""
    place.write("config", f"[default]\ncredential_process = {command}\n")
    with pytest.raises(CredentialError, match=why):
        place.find()


# --- roles of profiles ------------------------------------------------------------------------------------------------


@pytest.fixture
def service() -> Iterator[RoleServer]:
    """A security token service that knows the first keys."""
    with RoleServer("PROFILE0", SECRETS[0]) as server:
        yield server
    server.assert_clean()


def with_role(place: Place, service: RoleServer, **settings: object) -> None:
    """Have the default profile name a role."""
    settings = {"role_arn": ROLE, "source_profile": "base", "region": "eu-west-1", **settings}
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items() if value is not None)
    place.write("config", f"[default]\nendpoint_url = {service.url}\n{lines}")
    place.write("credentials", profile(0, "base"))


def test_a_role_is_assumed_with_the_keys_of_another_profile(place: Place, service: RoleServer) -> None:
    """By a signed request, with what the profile says besides."""
    with_role(place, service, external_id="a+b/c", duration_seconds=900, role_session_name="ann@acme")
    assert place.found() == (
        service.given[0]["AccessKeyId"],
        f"the role {ROLE} of profile 'default' of ~/.aws/config",
    )
    (form,) = service.forms
    assert form == {
        "RoleArn": ROLE,
        "RoleSessionName": "ann@acme",
        "ExternalId": "a+b/c",
        "DurationSeconds": "900",
        "region": "eu-west-1",
    }


def test_roles_can_be_chained(place: Place, service: RoleServer) -> None:
    """The second request is signed with what the first one gave, session token and all."""
    with_role(place, service, source_profile="middle")
    place.write("credentials", profile(0, "base") + f"[middle]\nrole_arn = {ROLE}\nsource_profile = base\n")
    assert place.found()[0] == service.given[1]["AccessKeyId"]


def test_a_profile_may_be_its_own_source(place: Place, service: RoleServer) -> None:
    """Where it has keys, too."""
    with_role(place, service, source_profile="default")
    place.write("credentials", profile(0))
    assert place.found()[0] == service.given[0]["AccessKeyId"]


def test_the_source_may_be_the_environment_the_container_or_the_machine(place: Place, service: RoleServer) -> None:
    """The variables are the keys of the role here, and not of the run."""
    with InstanceServer() as machine, ContainerServer() as task:
        for server, access_key_id in ((machine, "MACHINE"), (task, "TASK")):
            server.members = {"AccessKeyId": access_key_id}
            keys = server.new_keys("Token")
            service.known[keys["AccessKeyId"]] = (keys["SecretAccessKey"], keys["Token"])
            server.members = dict(keys)
        place.environ = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{task.url}/v2/credentials/task",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": machine.url,
        }
        for source in ("Ec2InstanceMetadata", "EcsContainer"):
            with_role(place, service, source_profile=None, credential_source=source)
            assert place.found()[0] == service.given[-1]["AccessKeyId"]
    assert len(service.given) == 2
    with_role(place, service, source_profile=None, credential_source="Environment")
    assert "credential_source" in place.failure(CredentialFileError).message


def test_a_profile_may_have_an_identity_in_a_file(place: Place) -> None:
    """It is exchanged as one in a variable is."""
    with TokenService() as service:
        path = leaks.holds_secrets(place.home / "token")
        path.write_text(service.gate.identity(), encoding="ascii")
        lines = f"role_arn = {IDENTITY_ROLE}\nweb_identity_token_file = {path}\nendpoint_url = {service.url}\n"
        place.write("config", f"[default]\n{lines}")
        assert place.found()[0] == service.given[0]["AccessKeyId"]
        path.unlink()
        message = place.failure(IdentityError).message
    assert "web_identity_token_file of profile 'default' of ~/.aws/config cannot be read" in message
    service.assert_clean()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"source_profile": None}, "not one of source_profile, credential_source and web_identity_token_file"),
        ({"credential_source": "Environment"}, "not one of source_profile"),
        ({"source_profile": "gone"}, "names 'gone' in source_profile"),
        ({"source_profile": "default"}, "is its own source"),
        ({"source_profile": None, "credential_source": "Elsewhere"}, "names 'Elsewhere' in credential_source"),
        ({"mfa_serial": "arn:aws:iam::1:mfa/ann"}, "keelback asks for no codes"),
        ({"role_session_name": "a b"}, "role_session_name"),
        ({"duration_seconds": "1e9"}, "duration_seconds"),
        ({"duration_seconds": "9" * 5000}, "duration_seconds"),
    ],
)
def test_a_profile_whose_role_cannot_be_is_an_error_with_its_line(
    place: Place, service: RoleServer, settings: dict[str, Any], why: str
) -> None:
    """Nothing is asked for it."""
    with_role(place, service, **settings)
    error = place.failure(CredentialFileError)
    assert error.message.startswith("~/.aws/config, line 1: profile 'default' ")
    assert why in error.message
    assert error.hint
    assert service.requests == []


@pytest.mark.parametrize(
    ("change", "why", "hint"),
    [
        ("secret", "SignatureDoesNotMatch", "not good any more"),
        ("key", "InvalidClientTokenId", "not good any more"),
        ("role", "is not authorized to perform", "trust policy"),
        ("html", "not the XML", "answers in its place"),
        ("503", r"(503)", "Try again later"),
        ("redirect", "redirects the request elsewhere", "follows a redirect"),
    ],
)
def test_a_service_that_gives_no_keys_is_an_error_that_says_so(
    place: Place, service: RoleServer, change: str, why: str, hint: str
) -> None:
    """With its own words; and nothing goes where it points."""
    with_role(place, service, role_arn=f"{ROLE}-other" if change == "role" else ROLE)
    if change == "secret":
        place.write("credentials", profile(0, "base").replace(SECRETS[0], SECRETS[1]))
    if change == "key":
        place.write("credentials", profile(1, "base"))
    with Trap() as trap:
        faults = {
            "html": Fault("status", "assume", status=200, media="html", body="<html><br>"),
            "503": Fault("status", "assume", status=503, times=None),
            "redirect": Fault("redirect", "assume", status=307, to=trap.url),
        }
        if change in faults:
            service.plan(faults[change])
        error = place.failure(ExchangeError)
        assert trap.requests == []
    assert why in error.message
    assert "profile 'base' of ~/.aws/credentials" in error.message
    assert hint in error.hint


def test_a_service_over_plain_http_on_another_machine_is_not_asked(place: Place, service: RoleServer) -> None:
    """The answer would be keys."""
    with_role(place, service)
    place.environ["AWS_ENDPOINT_URL_STS"] = "http://sts.acme.example"
    assert place.failure(ExchangeError).code == "plain-http"


# --- containers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def task(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[ContainerServer]:
    """The endpoint that the container's variable names."""
    with ContainerServer() as server:
        monkeypatch.setattr(container, "_ECS", server.url)
        place.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/task"
        yield server
    server.assert_clean()


def test_a_container_shows_its_token(place: Place, task: ContainerServer) -> None:
    """From a file, which goes before the variable."""
    task.token = leaks.new_secret("container-token")
    place.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = task.token
    assert place.found()[0] == task.given[0]["AccessKeyId"]
    task.token = leaks.new_secret("container-token")
    path = leaks.holds_secrets(place.home / "token")
    path.write_text(f"{task.token}\n", encoding="ascii")
    place.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(path)
    assert place.found()[0] == task.given[1]["AccessKeyId"]
    path.write_text("a\r\nx-evil: b", encoding="ascii")
    assert place.failure(CredentialError).code == "bad-token"
    path.unlink()
    assert "cannot be read" in place.failure(CredentialError).message


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.acme.example/x",
        "http://169.254.170.2.evil.example/x",
        "http://169.254.170.2@evil.example/x",
        "http://evil.example\\@169.254.170.2/x",
        "http://169.254.169.254/x",
        "file:///etc/passwd",
        "http://[::1/x",
        "keys",
    ],
)
def test_keys_come_from_no_other_machine_over_plain_http(place: Place, url: str) -> None:
    """An address of the container's own machine, or https."""
    place.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in place.failure(UsageError).message


@pytest.mark.parametrize("path", ["@evil.example/", "v2", "/a b", "/\r\n"])
def test_a_relative_uri_cannot_lead_elsewhere(place: Place, path: str) -> None:
    """It is a path."""
    place.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = f"{path}x"
    assert place.failure(UsageError).exit_status == 2


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("status", "keys", status=200, media="html", body="<html></html>"), "not a JSON object"),
        (Fault("status", "keys", status=200, body="[]"), "not a JSON object"),
        (Fault("status", "keys", status=200, body="{}"), "no 'AccessKeyId'"),
        (Fault("status", "keys", status=404, media="text", body="no role"), "an error: no role"),
        (Fault("status", "keys", status=503, times=None), "an error"),
        (Fault("status", "keys", status=200, body=" " * 100_000), "larger than 65536 bytes"),
        (Fault("reset", "keys", times=None), "gave none"),
    ],
)
def test_a_container_without_keys_is_an_error(place: Place, task: ContainerServer, fault: Fault, why: str) -> None:
    """Its variable says that there are some."""
    task.plan(fault)
    assert why in place.failure(CredentialError).message


def test_the_token_of_a_container_follows_no_redirect(place: Place, task: ContainerServer) -> None:
    """Nothing arrives there."""
    task.token = leaks.new_secret("container-token")
    place.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = task.token
    with Trap() as trap:
        task.plan(Fault("redirect", "keys", status=302, to=trap.url))
        place.failure(CredentialError)
        assert trap.requests == []


@pytest.mark.parametrize(
    "members", [{"Expiration": None}, {"Token": ["x"]}, {"SecretAccessKey": "a"}, {"AccessKeyId": 1}]
)
def test_keys_that_can_be_none_are_refused(place: Place, task: ContainerServer, members: dict[str, Any]) -> None:
    """They would never be renewed, break a header, or mask an ordinary word wherever it stands."""
    task.members = members
    place.failure(CredentialError)


# --- machines ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(place: Place) -> Iterator[InstanceServer]:
    """The metadata service of the machine."""
    with InstanceServer() as server:
        place.environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url}
        yield server
    server.assert_clean()


def test_a_machine_without_a_role_has_no_keys(place: Place, machine: InstanceServer) -> None:
    """That is no error; a public bucket needs none."""
    machine.role = None
    assert place.find() is None
    assert machine.steps() == ["token", "role"]


@pytest.mark.parametrize("status", [403, 404, 405, 500])
def test_the_metadata_service_of_another_cloud_is_none(place: Place, machine: InstanceServer, status: int) -> None:
    """Nor one that is turned off; version 1 is not asked, and nothing is asked twice."""
    machine.plan(Fault("status", "token", status=status, times=None))
    assert place.find() is None
    assert machine.steps() == ["token"]


def test_a_machine_of_no_cloud_is_not_kept_waiting(
    place: Place, machine: InstanceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers there."""
    monkeypatch.setattr(metadata, "_SECONDS", 0.2)
    machine.plan(Fault("stall", "token"))
    begun = time.monotonic()
    assert place.find() is None
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("step", "answer", "why"),
    [
        ("role", {"status": 200, "body": "../../../evil", "media": "text"}, "the name of a role"),
        ("role", {"status": 200, "body": "<html>", "media": "html"}, "the name of a role"),
        ("role", {"status": 401, "times": None}, "the name of a role"),
        ("keys", {"status": 200, "body": "[]"}, "the keys of the role"),
        ("keys", {"status": 200, "body": '{"Code": "AssumeRoleUnauthorizedAccess"}'}, "the keys of the role"),
        ("keys", {"status": 404, "media": "text", "body": "gone"}, "the keys of the role ci-runner: gone"),
    ],
)
def test_a_metadata_service_that_gives_no_keys_is_an_error(
    place: Place, machine: InstanceServer, step: str, answer: dict[str, Any], why: str
) -> None:
    """There is a role, or something else than a metadata service."""
    machine.plan(Fault("status", step, **answer))
    error = place.failure(CredentialError)
    assert why in error.message
    assert "AWS_EC2_METADATA_DISABLED" in error.hint


@pytest.mark.parametrize("endpoint", ["169.254.169.254", "http://a.example/x", "http://a@b.example", "ftp://a.example"])
def test_the_endpoint_of_the_metadata_service_is_a_server(place: Place, endpoint: str) -> None:
    """Or it is wrong usage."""
    place.environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint}
    assert "AWS_EC2_METADATA_SERVICE_ENDPOINT" in place.failure(UsageError).message


# --- renewal ----------------------------------------------------------------------------------------------------------


def test_keys_are_renewed_before_they_expire_and_by_one_thread() -> None:
    """Five minutes before; eight that need them then wait for one. Those who keep secrets out of logs are told."""
    told: list[Secret] = []
    now = [1e9]
    made: list[str] = []

    def get() -> Keys:
        made.append(f"AK{len(made)}")
        secrets = (Secret(leaks.new_secret("secret-key")), Secret(leaks.new_secret("session-token")))
        return Keys(S3Credentials(made[-1], *secrets), now[0] + 3600)

    together = threading.Barrier(8)

    def ask(_number: int) -> str:
        together.wait(30)
        return keys.current().access_key_id

    with listening(told.append), ThreadPoolExecutor(8) as threads:
        keys = KeySource.renewed("a machine", get, clock=lambda: now[0])
        now[0] += 3600 - 310
        assert keys.current().access_key_id == "AK0"
        now[0] += 20
        assert set(threads.map(ask, range(8))) == {"AK1"}
    assert made == ["AK0", "AK1"]
    assert len(told) == 4


def test_keys_that_never_expire_are_got_once() -> None:
    """As a process may print them."""
    asked = []

    def get() -> Keys:
        asked.append(1)
        return Keys(S3Credentials("AK", Secret(SECRETS[0])))

    keys = KeySource.renewed("a process", get)
    assert keys.current() is keys.current()
    assert len(asked) == 1


def test_the_keys_of_a_role_are_renewed_with_the_keys_that_are_good_then(place: Place, service: RoleServer) -> None:
    """The source is asked anew, too."""
    with_role(place, service)
    service.members = {"Expiration": iso(time.time() - 60)}  # it has expired, by this machine's clock
    keys = place.find()
    assert keys is not None
    assert keys.current().access_key_id == service.given[0]["AccessKeyId"]
    assert len(service.given) == 1


# --- whether a bucket takes them --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access_key_id", "secret", "bucket", "valid", "said"),
    [
        ("AKWRITER", SECRETS[0], "chan", True, ""),
        ("AKWRITER", SECRETS[1], "chan", False, "SignatureDoesNotMatch"),
        ("AKOTHER", SECRETS[0], "chan", False, "InvalidAccessKeyId"),
    ],
    ids=["taken", "wrong-secret", "unknown-key"],
)
def test_a_bucket_says_whether_it_takes_keys(
    client: Client, access_key_id: str, secret: str, bucket: str, *, valid: bool | None, said: str
) -> None:
    """Good keys are told from others."""
    with S3Server({"AKWRITER": SECRETS[0]}, bucket="chan") as server:
        identity = check_keys(bucket_at(client, server, bucket, S3Credentials(access_key_id, Secret(secret))))
    leaks.check(repr(identity), "the identity")
    assert identity.valid is valid
    assert said in identity.said


def test_a_bucket_that_is_not_there_says_nothing_of_keys(client: Client) -> None:
    """It is an error of its own, which names it."""
    keys = S3Credentials("AKWRITER", Secret(SECRETS[0]))
    with S3Server({"AKWRITER": SECRETS[0]}, bucket="chan") as server, pytest.raises(ServerError) as caught:
        check_keys(bucket_at(client, server, "other", keys))
    assert (caught.value.code, "NoSuchBucket" in caught.value.message) == ("not-found", True)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"status": 403, "media": "text/xml", "body": "<Error><Code>AccessDenied</Code></Error>"},
            "does not let these",
        ),
        ({"status": 200, "media": "html", "body": "<html><title>Sign in</title></html>"}, "web page"),
    ],
)
def test_keys_that_may_not_list_are_neither_good_nor_bad(client: Client, answer: dict[str, Any], said: str) -> None:
    """Those of an uploader may do just that; and what is no object store says nothing of them."""
    with S3Server({"AKWRITER": SECRETS[0]}, bucket="chan") as server:
        server.plan(Fault("status", "list", **answer))
        identity = check_keys(bucket_at(client, server, "chan", S3Credentials("AKWRITER", Secret(SECRETS[0]))))
    assert identity.valid is None
    assert said in identity.said


def bucket_at(client: Client, server: S3Server, name: str, credentials: S3Credentials) -> S3Bucket:
    """A bucket of *server*."""
    settings = S3Settings(server.url, "us-east-1", path_style=True)
    return S3Bucket(client, name, "", settings, lambda: credentials, "a test")
