"""Where a bucket is, by options, variables and the profiles of the AWS SDKs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import leaks
from keelback.channels.session import BucketOptions
from keelback.credentials.aws.profiles import Profiles
from keelback.credentials.aws.settings import S3Settings, s3_settings
from keelback.errors import CredentialFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def settings(
    environ: Mapping[str, str] | None = None, config: str = "", home: Path | None = None, **options: str
) -> S3Settings:
    """The settings in an environment, with a config file in *home*."""
    if home is not None:
        (home / ".aws").mkdir(parents=True, exist_ok=True)
        (home / ".aws" / "config").write_text(config, encoding="utf-8")
    environ = environ or {}
    return s3_settings(BucketOptions(**options), environ, Profiles(environ, home))


ACME = "https://s3.acme.example"


@pytest.mark.parametrize(
    ("variables", "endpoint", "region"),
    [
        ({}, "https://s3.us-east-1.amazonaws.com", "us-east-1"),
        ({"AWS_REGION": "eu-central-1"}, "https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "cn-north-1"}, "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ({"AWS_REGION": "eu-west-1", "S3_REGION": "eu-west-2"}, "https://s3.eu-west-2.amazonaws.com", "eu-west-2"),
        ({"AWS_ENDPOINT_URL": ACME}, ACME, "us-east-1"),
        ({"AWS_ENDPOINT_URL": ACME, "AWS_REGION": "home"}, ACME, "home"),
        ({"AWS_ENDPOINT_URL": "https://a.example", "AWS_ENDPOINT_URL_S3": f"{ACME}/"}, ACME, "us-east-1"),
        ({"AWS_ENDPOINT_URL_S3": "https://a.example", "S3_ENDPOINT_URL": ACME}, ACME, "us-east-1"),
        (
            {"AWS_ENDPOINT_URL": ACME, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            "https://s3.us-east-1.amazonaws.com",
            "us-east-1",
        ),
        # whose region is in the name of the host, or the only one that there is
        ({"S3_ENDPOINT_URL": "https://s3.eu-west-3.amazonaws.com"}, "https://s3.eu-west-3.amazonaws.com", "eu-west-3"),
        (
            {"S3_ENDPOINT_URL": "https://s3.us-west-004.backblazeb2.com", "AWS_REGION": "eu-west-1"},
            "https://s3.us-west-004.backblazeb2.com",
            "us-west-004",
        ),
        (
            {"S3_ENDPOINT_URL": "https://acme.r2.cloudflarestorage.com", "AWS_REGION": "eu-west-1"},
            "https://acme.r2.cloudflarestorage.com",
            "auto",
        ),
        (
            {"S3_ENDPOINT_URL": "https://acme.eu.r2.cloudflarestorage.com", "S3_REGION": "weur"},
            "https://acme.eu.r2.cloudflarestorage.com",
            "weur",
        ),
    ],
)
def test_the_variables_say_where_a_bucket_is(variables: dict[str, str], endpoint: str, region: str) -> None:
    """Those of rattler-build before those of the AWS SDKs; empty ones say nothing."""
    found = settings({"S3_ENDPOINT_URL": "", "S3_REGION": "", "AWS_ENDPOINT_URL": "", **variables})
    assert (found.endpoint, found.region) == (endpoint, region)


def test_an_option_goes_before_every_variable() -> None:
    """Each of the three by itself."""
    variables = {"S3_ENDPOINT_URL": "https://b.example", "S3_REGION": "b", "S3_ADDRESSING_STYLE": "path"}
    assert settings(variables, endpoint_url=ACME) == S3Settings(ACME, "b", path_style=True)
    assert settings(variables, region="eu-west-1").endpoint == "https://b.example"
    assert settings(variables, addressing_style="virtual-host").path_style is False


CONFIG = """
# a comment
[default]
region = eu-north-1

[profile dev]
region = eu-south-1
services = ours
endpoint_url = https://all.acme.example
s3 =
    addressing_style = path
    max_concurrent_requests = 20

[services ours]
s3 =
  endpoint_url = https://s3.acme.example
sts =
  endpoint_url = https://sts.acme.example

[profile "other one"]
endpoint_url = https://all.acme.example
ignore_configured_endpoint_urls = true
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, S3Settings("https://s3.eu-north-1.amazonaws.com", "eu-north-1", path_style=False)),
        ({"AWS_PROFILE": "dev"}, S3Settings(ACME, "eu-south-1", path_style=True)),
        ({"AWS_DEFAULT_PROFILE": "dev", "AWS_REGION": "x"}, S3Settings(ACME, "x", path_style=True)),
        ({"AWS_PROFILE": "other one"}, S3Settings("https://s3.us-east-1.amazonaws.com", "us-east-1", path_style=False)),
        (
            {"AWS_PROFILE": "dev", "S3_ENDPOINT_URL": "https://b.example"},
            S3Settings("https://b.example", "eu-south-1", path_style=True),
        ),
    ],
)
def test_a_profile_says_what_no_variable_does(variables: dict[str, str], expected: S3Settings, tmp_path: Path) -> None:
    """Also in the section of services that it names, and in blocks."""
    assert settings(variables, CONFIG, tmp_path) == expected


@pytest.mark.parametrize(
    ("endpoint", "path_style"),
    [
        (ACME, True),
        ("https://s3.acme.example:9000", True),
        ("https://evilamazonaws.com", True),
        ("https://amazonaws.com.acme.example", True),
        ("https://s3.us-gov-west-1.amazonaws.com", False),
        ("https://s3.cn-north-1.amazonaws.com.cn", False),
        ("https://storage.googleapis.com", False),
        ("https://fra1.digitaloceanspaces.com", False),
        ("https://s3.eu-central-1.wasabisys.com", False),
        ("https://s3.us-west-004.backblazeb2.com", False),
        ("https://oss-eu-central-1.aliyuncs.com", False),
        ("https://10.0.0.7", True),
        ("https://[fd00::1]", True),
        ("http://localhost:9000", True),
        ("http://minio.localhost", True),
        ("https://acme.r2.cloudflarestorage.com", False),
    ],
)
def test_a_bucket_is_in_the_host_of_clouds_that_are_known_for_it_alone(endpoint: str, *, path_style: bool) -> None:
    """Others have no such hosts, unless somebody says how the bucket is addressed."""
    assert settings(endpoint_url=endpoint).path_style is path_style
    assert settings(endpoint_url=endpoint, addressing_style="path").path_style is True
    assert settings({"S3_ADDRESSING_STYLE": "virtual-host"}, endpoint_url=endpoint).path_style is False
    assert settings({"S3_FORCE_PATH_STYLE": "true"}, endpoint_url=endpoint).path_style is True
    assert settings({"S3_FORCE_PATH_STYLE": "false"}, endpoint_url=endpoint).path_style is False


@pytest.mark.parametrize(
    ("source", "value", "said"),
    [
        ("S3_ENDPOINT_URL", "s3.acme.example", "https://HOST"),
        ("S3_ENDPOINT_URL", "ftp://s3.acme.example", "https://HOST"),
        ("S3_ENDPOINT_URL", "https://", "https://HOST"),
        ("S3_ENDPOINT_URL", "https://s3.acme.example@evil.example", "https://HOST"),
        ("S3_ENDPOINT_URL", "https://evil.example\\@s3.acme.example", "https://HOST"),
        ("S3_ENDPOINT_URL", "https://s3.acme.example?x=1", "https://HOST"),
        ("S3_ENDPOINT_URL", "https://s3.acme.example:99999", "https://HOST"),
        ("S3_ENDPOINT_URL", "https://acme.r2.cloudflarestorage.com/bucket", "s3://BUCKET"),
        ("AWS_ENDPOINT_URL_S3", "nowhere", "https://HOST"),
        ("S3_REGION", "evil.example/", "eu-central-1"),
        ("AWS_REGION", "a\r\nb: c", "eu-central-1"),
        ("S3_ADDRESSING_STYLE", "virtual", "virtual-host"),
        ("S3_FORCE_PATH_STYLE", "perhaps", "S3_ADDRESSING_STYLE"),
    ],
)
def test_what_cannot_be_is_refused_and_named(source: str, value: str, said: str) -> None:
    """Before anything is signed for it."""
    with pytest.raises(UsageError) as caught:
        settings({source: value})
    assert source in caught.value.message
    assert said in caught.value.hint


def test_a_password_in_an_endpoint_is_not_shown() -> None:
    """It is refused, too."""
    with pytest.raises(UsageError) as caught:
        settings(endpoint_url=f"https://ann:{leaks.new_secret('endpoint')}@s3.acme.example")
    leaks.check(caught.value.message, "the error")


# --- the files --------------------------------------------------------------------------------------------------------


def test_what_is_given_leaves_the_files_unread(tmp_path: Path) -> None:
    """A mistake in them is none of a run that does not need them."""
    said = settings({}, "no section = here", tmp_path, endpoint_url=ACME, region="auto")
    assert said == S3Settings(ACME, "auto", path_style=True)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("region = eu-west-1\n", 1),
        ("[default]\nregion = x\n\nthis is a SECRET\n", 4),
        ("[default]\nregion = x\n[unclosed\n", 3),
        ("[default]\nname = \xe9\n", 2),
    ],
)
def test_a_malformed_file_is_named_with_the_line(content: str, line: int, tmp_path: Path) -> None:
    """Of which nothing is shown."""
    path = tmp_path / "config"
    path.write_bytes(content.replace("SECRET", leaks.new_secret("line")).encode("latin-1"))
    with pytest.raises(CredentialFileError) as caught:
        settings({"AWS_CONFIG_FILE": str(path)})
    assert f"AWS_CONFIG_FILE ({path}), line {line}: " in caught.value.message
    leaks.check(f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}", "the error")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """Whatever it is, it holds no profiles."""
    path = tmp_path / "config"
    path.write_bytes(b"[default]\n" + b"# \n" * 500_000)
    with pytest.raises(CredentialFileError, match="larger than 1 MiB"):
        settings({"AWS_CONFIG_FILE": str(path)})


def test_a_profile_that_is_nowhere_is_wrong_usage(tmp_path: Path) -> None:
    """The variable is named; that there is no default profile is no mistake."""
    with pytest.raises(UsageError, match="AWS_PROFILE names the profile 'gone'"):
        settings({"AWS_PROFILE": "gone"}, CONFIG, tmp_path)
    assert settings({"AWS_CONFIG_FILE": str(tmp_path / "none")}).region == "us-east-1"


def test_the_working_directory_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project could bring such files."""
    (tmp_path / ".aws").mkdir()
    for name in (".aws/config", "config", ".aws/credentials"):
        (tmp_path / name).write_text("[default]\nregion = evil\nendpoint_url = https://evil.example\n")
    monkeypatch.chdir(tmp_path)
    assert settings().region == "us-east-1"
