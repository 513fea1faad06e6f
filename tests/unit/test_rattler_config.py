"""Where a bucket is, by the configuration that the tools of the rattler family share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keelback.channels.buckets.s3channel import S3Channel
from keelback.channels.session import BucketOptions, Session
from keelback.errors import UsageError
from keelback.transport import Client

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
[s3-options.my-bucket]
endpoint-url = "https://minio.example.com"
region = "eu-west-9"
force-path-style = true
"""


def settings(environ: dict[str, str], channel: str = "s3://my-bucket/chan", **options: str) -> dict[str, str]:
    """Where the bucket of *channel* is."""
    with Client() as client:
        session = Session(client, list, environ=environ, buckets=BucketOptions(**options))
        return dict(S3Channel.named(channel).settings(session))


def configured(folder: Path, text: str = CONFIG) -> dict[str, str]:
    """The variables with which the configuration *text* is found."""
    (folder / "rattler").mkdir()
    (folder / "rattler" / "config.toml").write_text(text, encoding="utf-8")
    return {"XDG_CONFIG_HOME": str(folder), "APPDATA": str(folder)}


def test_what_is_configured_once_for_all_tools_is_where_the_bucket_is(tmp_path: Path) -> None:
    """Rule: endpoint, region and style of the bucket of that name; another bucket is where it was."""
    environ = configured(tmp_path)
    found = {"endpoint": "https://minio.example.com", "region": "eu-west-9", "addressing_style": "path"}
    assert settings(environ) == found
    assert "minio" not in settings(environ, "s3://other-bucket/chan")["endpoint"]


def test_what_is_said_with_the_command_or_by_the_variables_of_rattler_build_goes_before_it(tmp_path: Path) -> None:
    """Rule: an endpoint of another place takes nothing from the configuration; region and style can be said alone."""
    environ = configured(tmp_path)
    assert settings(environ, endpoint_url="https://other.example.com")["endpoint"] == "https://other.example.com"
    assert settings({**environ, "S3_ENDPOINT_URL": "https://var.example.com"})["endpoint"] == "https://var.example.com"
    assert settings(environ, region="us-east-2")["region"] == "us-east-2"
    assert (
        settings({**environ, "AWS_ENDPOINT_URL": "https://sdk.example.com"})["endpoint"] == "https://minio.example.com"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[s3-options", "is malformed"),
        ("[s3-options.my-bucket]\nregion = 'x'", "needs an endpoint-url"),
        ("[s3-options]\nmy-bucket = 1", "is no table"),
        ("[s3-options.my-bucket]\nendpoint-url = 'ftp://x'\nregion = 'x'", "endpoint"),
    ],
)
def test_a_malformed_configuration_is_named_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    """Rule: it is an error, and not passed over."""
    with pytest.raises(UsageError, match=said):
        settings(configured(tmp_path, text))


def test_what_is_missing_in_the_configuration_is_told_as_lines(tmp_path: Path) -> None:
    """Rule: a hint says what to write."""
    with pytest.raises(UsageError) as caught:
        settings(configured(tmp_path, "[s3-options.my-bucket]\nendpoint-url = 'https://x.example'"))
    assert 'region = "us-east-1"' in caught.value.hint


def test_a_file_of_the_project_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a checkout cannot send packages elsewhere."""
    configured(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert "minio" not in settings({})["endpoint"]
