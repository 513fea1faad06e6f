"""Web addresses of what is in a bucket, and how keelback writes the same channel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_AMAZON: Final = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]*)\.)?s3(?:-fips|-website)?(?:\.dualstack)?(?:[.-](?P<region>[a-z]+(?:-[a-z0-9]+)+))?"
    r"\.amazonaws\.com(?:\.cn)?"
)
"""("Virtual hosting of buckets" of the Amazon S3 User Guide.)"""
_GOOGLE: Final = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9._-]*)\.)?storage\.googleapis\.com|storage\.cloud\.google\.com"
)
"""("Request endpoints" of the Cloud Storage documentation.)"""
_AZURE: Final = re.compile(
    r"(?P<account>[a-z0-9]{3,24})\.blob\.core\.(?:windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)"
)
"""("Storage account endpoints" of the Azure Storage documentation.)"""
_R2: Final = ".r2.cloudflarestorage.com"


@dataclass(frozen=True, slots=True)
class BucketForm:
    """A channel in a bucket, as it is written for keelback.

    Attributes:
        url: ``s3://BUCKET/CHANNEL``.
        region: of the bucket, as far as its host says so; else empty.
    """

    url: str
    region: str = ""

    @property
    def hint(self) -> str:
        """What to write, as a sentence."""
        return f"Write {self.url}{f', with --region {self.region}' if self.region else ''}."


def bucket_form(host: str, segments: Sequence[str]) -> BucketForm | None:
    """How the channel at ``https://HOST/SEGMENTS`` is written as one in a bucket; ``None`` where it is in none.

    Args:
        host: in lower case, without a port.
        segments: of the path, decoded.
    """
    if (found := _AMAZON.fullmatch(host)) is not None:
        return _form("s3:/", found["bucket"], segments, found["region"] or "")
    if (found := _GOOGLE.fullmatch(host)) is not None:
        return _form("gs:/", found["bucket"], segments)
    if (found := _AZURE.fullmatch(host)) is not None:
        is_public = host.endswith(".windows.net")
        return _form(f"az://{found['account'] if is_public else host}", None, segments)
    return _form(f"s3+https://{host}", None, segments) if host.endswith(_R2) else None


def _form(start: str, bucket: str | None, segments: Sequence[str], region: str = "") -> BucketForm | None:
    path = [*([bucket] if bucket else []), *segments]
    return BucketForm("/".join([start, *path]), region) if path else None
