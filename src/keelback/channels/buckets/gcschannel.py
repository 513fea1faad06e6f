"""Channels in buckets of Google Cloud Storage: ``gs://BUCKET/CHANNEL``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from keelback.channels.access import Access
from keelback.channels.buckets.keycheck import CheckedBucketChannel
from keelback.credentials.keys import keys_for
from keelback.credentials.kinds import BearerToken, OAuth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.channels.buckets.bucket import Bucket
    from keelback.channels.session import Session
    from keelback.credentials.kinds import Credential


class GCSChannel(CheckedBucketChannel):
    """A channel in a bucket of Google Cloud Storage."""

    kind: ClassVar[str] = "gs"
    title: ClassVar[str] = "a bucket of Google Cloud Storage"
    shape: ClassVar[str] = "gs://BUCKET/CHANNEL"
    takes: ClassVar[tuple[type[Credential], ...]] = (BearerToken, OAuth)
    variables: ClassVar[tuple[str, ...]] = ("GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN")
    login_hint: ClassVar[str] = (
        "Run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS; an access token is stored "
        "with: keelback auth login gs://BUCKET --token -."
    )

    def bucket(self, session: Session) -> Bucket:
        """See :class:`BucketChannel`."""
        from keelback.channels.buckets.gcsaccess import open_bucket  # noqa: PLC0415 - for those who have one

        return open_bucket(session, self.name, "/".join(self.path))

    def stored_for(self, session: Session) -> str:
        """See :class:`CheckedBucketChannel`."""
        from keelback.channels.buckets.gcsaccess import endpoint_of  # noqa: PLC0415 - for those who have one

        return "/".join([endpoint_of(session), self.name, *self.path])

    def keys_for(self, session: Session) -> list[str]:
        """See :class:`CheckedBucketChannel`: those of the bucket come first, where it is at Google."""
        from keelback.channels.buckets.gcs import ENDPOINT  # noqa: PLC0415 - for those who have one

        own = [key for key in keys_for(self.url) if key.startswith(f"{self.kind}://")]
        return [*(own if self.stored_for(session).startswith(f"{ENDPOINT}/") else []), *super().keys_for(session)]

    def settings(self, session: Session) -> Mapping[str, str]:
        """See :class:`CheckedBucketChannel`."""
        from keelback.channels.buckets.gcsaccess import endpoint_of  # noqa: PLC0415 - for those who have one

        return {"endpoint": endpoint_of(session)}

    def opened_with(self, session: Session, credential: Credential) -> Bucket:
        """See :class:`CheckedBucketChannel`."""
        from keelback.channels.buckets.gcs import GCSBucket  # noqa: PLC0415 - for those who have one
        from keelback.channels.buckets.gcsaccess import endpoint_of  # noqa: PLC0415 - likewise

        access = Access(credential, "the command line")
        return GCSBucket(session.client, self.name, "/".join(self.path), access, endpoint=endpoint_of(session))
