"""Where a bucket is: endpoint, region and addressing style, by options, variables and profiles.

("AWS SDKs and Tools Reference Guide": "Service-specific endpoints", "AWS Region"; the variables ``S3_...`` are those of
rattler-build.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from keelback.credentials.aws.profiles import Profiles
from keelback.credentials.serverurls import checked_url
from keelback.errors import UsageError
from keelback.hosts import host_of
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

IGNORED: Final = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
_USUAL_REGION: Final = "us-east-1"
_REGION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_REGION_IN_HOST: Final = re.compile(
    r"(?:[^.]+\.)*s3(?:-fips)?(?:\.dualstack)?[.-](?P<region>[a-z]{2,4}(?:-[a-z]+)+-?[0-9]+)\.[a-z0-9.-]+"
)
"""``s3.REGION.amazonaws.com``, and the hosts of others who name theirs alike."""
_R2: Final = ".r2.cloudflarestorage.com"
_WITH_BUCKETS_IN_HOSTS: Final = (
    ".amazonaws.com",
    ".amazonaws.com.cn",
    _R2,
    ".storage.googleapis.com",
    ".digitaloceanspaces.com",
    ".wasabisys.com",
    ".backblazeb2.com",
    ".linodeobjects.com",
    ".scw.cloud",
    ".aliyuncs.com",
    ".myqcloud.com",
    ".storage.tigris.dev",
    ".t3.storage.dev",
)
"""Ends of the hosts of clouds where each bucket has a host of its own; some of them take nothing else."""
_STYLES: Final = {"virtual-host": False, "path": True}
_YES_AND_NO: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Wanted(Protocol):
    """What the user said; ``None`` for what was left out."""

    @property
    def endpoint_url(self) -> str | None:
        """URL of the service."""

    @property
    def region(self) -> str | None:
        """Region of the bucket."""

    @property
    def addressing_style(self) -> str | None:
        """``virtual-host`` or ``path``."""


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where a bucket's service is, and how the bucket is addressed.

    Attributes:
        endpoint: URL of the service, without a path and without a slash at its end.
        region: for which requests are signed.
        path_style: whether the bucket is the first segment of the path; otherwise it is the first label of the host.
    """

    endpoint: str
    region: str
    path_style: bool


def s3_settings(options: Wanted, environ: Mapping[str, str], profiles: Profiles | None = None) -> S3Settings:
    """Where the bucket is that *options* are about.

    For each of the three, what comes first in this list counts: the option; ``S3_ENDPOINT_URL``, ``S3_REGION`` and
    ``S3_ADDRESSING_STYLE``; the variables of the AWS SDKs; the profile; and then Amazon S3 in ``us-east-1``. An
    endpoint that names its region in its host is believed before the variables of the SDKs are. Where nobody says how
    buckets are addressed, they are in the host at Amazon and at other clouds that are known to have them there, and in
    the path everywhere else: MinIO, Ceph and their like have no such hosts unless somebody set up DNS for them.

    Args:
        options: what the user said.
        environ: the variables.
        profiles: those that *environ* tells of, where they have been read already.

    Raises:
        UsageError: one of them is invalid.
        CredentialFileError: a file with profiles cannot be read, or is malformed.
    """
    profiles = Profiles(environ) if profiles is None else profiles
    endpoint = _endpoint(options, environ, profiles)
    region = _region(options, environ, profiles, endpoint)
    style = _style(options, environ, profiles)
    if style is None:
        style = endpoint is not None and not _has_buckets_in_hosts(endpoint)
    return S3Settings(endpoint or aws_endpoint(region), region, style)


def aws_endpoint(region: str, service: str = "s3") -> str:
    """The URL of *service* of AWS in *region*; those of the isolated partitions have other domains."""
    return f"https://{service}.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def ignores_configured(environ: Mapping[str, str], profiles: Profiles) -> bool:
    """Whether the endpoints in the variables of the SDKs and in profiles are not to be used."""
    said = environ.get(IGNORED, "").strip().lower()
    if said or profiles.chosen is None:
        return said == "true"
    return profiles.chosen.get("ignore_configured_endpoint_urls").lower() == "true"


def configured_endpoint(service: str, environ: Mapping[str, str], profiles: Profiles) -> tuple[str, str] | None:
    """The endpoint of *service* that the variables of the SDKs or the profile name, and where that stands."""
    for name in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
        if environ.get(name) and environ.get(IGNORED, "").strip().lower() != "true":
            return environ[name].strip(), name
    profile = profiles.chosen
    if profile is None or ignores_configured(environ, profiles):
        return None
    url = profiles.service(profile, service).get("endpoint_url") or profile.get("endpoint_url")
    return (url, f"endpoint_url for {profile.where()}") if url else None


def checked_server(url: str, source: str) -> str:
    """*url* without a slash at its end, if it is the URL of a server and has no path; *source* is where it came from.

    Raises:
        UsageError: it is not.
    """
    parts = urlsplit(checked_url(url, source))
    if parts.path not in ("", "/"):
        raise UsageError(
            f"{source}: {redact(url)!r} has a path behind the server",
            hint="Leave the path out: the bucket stands in s3://BUCKET/CHANNEL.",
        )
    return f"{parts.scheme}://{parts.netloc}"


def checked_region(region: str, source: str) -> str:
    """*region*, if it can be one; raises ``UsageError`` naming its *source*."""
    if not _REGION.fullmatch(region):
        raise UsageError(f"{source}: {redact(region)!r} is not a region", hint="Write it like eu-central-1.")
    return region


def configured_region(environ: Mapping[str, str], profiles: Profiles) -> tuple[str, str] | None:
    """The region that the variables of the SDKs or the profile name, and where that stands."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if environ.get(name):
            return environ[name].strip(), name
    profile = profiles.chosen
    region = "" if profile is None else profile.get("region")
    return (region, f"region of {profile.where('region')}") if profile is not None and region else None


def _endpoint(options: Wanted, environ: Mapping[str, str], profiles: Profiles) -> str | None:
    """The endpoint that an option, a variable or a profile names; ``None`` for AWS's own."""
    if options.endpoint_url:
        return checked_server(options.endpoint_url.strip(), "--endpoint-url")
    if environ.get("S3_ENDPOINT_URL"):
        return checked_server(environ["S3_ENDPOINT_URL"].strip(), "S3_ENDPOINT_URL")
    named = configured_endpoint("s3", environ, profiles)
    return None if named is None else checked_server(*named)


def _region(options: Wanted, environ: Mapping[str, str], profiles: Profiles, endpoint: str | None) -> str:
    if options.region:
        return checked_region(options.region.strip(), "--region")
    if environ.get("S3_REGION"):
        return checked_region(environ["S3_REGION"].strip(), "S3_REGION")
    host = "" if endpoint is None else host_of(endpoint)
    if host.endswith(_R2):
        return "auto"  # there is no other (Cloudflare R2 documentation, "S3 API compatibility")
    if (in_host := _REGION_IN_HOST.fullmatch(host)) is not None:
        return in_host["region"]
    named = configured_region(environ, profiles)
    return _USUAL_REGION if named is None else checked_region(*named)


def _style(options: Wanted, environ: Mapping[str, str], profiles: Profiles) -> bool | None:
    """Whether the bucket goes into the path, where an option, a variable or a profile says so."""
    for style, source in _styles_said(options, environ):
        if style not in _STYLES:
            raise UsageError(
                f"{source}: {redact(style)!r} is not an addressing style", hint=f"Use one of {', '.join(_STYLES)}."
            )
        return _STYLES[style]
    forced = environ.get("S3_FORCE_PATH_STYLE", "").strip().lower()
    if forced:
        if forced not in _YES_AND_NO:
            raise UsageError(
                f"S3_FORCE_PATH_STYLE: {redact(forced)!r} is neither true nor false",
                hint="Set S3_ADDRESSING_STYLE to path in its place.",
            )
        return _YES_AND_NO[forced]
    profile = None if options.endpoint_url or environ.get("S3_ENDPOINT_URL") else profiles.chosen
    said = "" if profile is None else profile.block("s3").get("addressing_style", "")
    return {"path": True, "virtual": False}.get(said)


def _styles_said(options: Wanted, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if options.addressing_style:
        yield options.addressing_style, "--addressing-style"
    if environ.get("S3_ADDRESSING_STYLE"):
        yield environ["S3_ADDRESSING_STYLE"].strip(), "S3_ADDRESSING_STYLE"


def _has_buckets_in_hosts(endpoint: str) -> bool:
    """Whether *endpoint* is that of a cloud where each bucket has a host of its own."""
    return urlsplit(endpoint).port is None and f".{host_of(endpoint)}".endswith(_WITH_BUCKETS_IN_HOSTS)
