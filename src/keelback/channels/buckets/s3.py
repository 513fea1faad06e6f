"""Buckets of Amazon S3, and of the many services that speak its protocol: R2, MinIO, Ceph, SeaweedFS and others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from keelback.channels.access import Access
from keelback.channels.buckets.bucket import Bucket
from keelback.channels.buckets.s3errors import Action
from keelback.channels.buckets.s3listing import Listing
from keelback.channels.buckets.s3multipart import PROBE, PROBE_ATTRIBUTES, PROBED, Multipart, is_known
from keelback.channels.buckets.s3objects import Objects, attribute_headers, refuses_conditions
from keelback.channels.buckets.s3requests import BucketRequests
from keelback.channels.buckets.s3sweep import sweep
from keelback.channels.buckets.s3uploads import Upload, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Attributes, Condition, Staged, Stored
    from keelback.channels.delivery import Delivery
    from keelback.credentials.aws.settings import S3Settings
    from keelback.credentials.kinds import S3Credentials
    from keelback.transport import Client

_log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 24 * 3600.0
"""How long nothing comes of an upload until its run counts as dead: one that replaces archives sends them all first."""
_NO_VERSION: Final = '"00000000000000000000000000000000"'


class S3Bucket(Bucket):
    """A bucket with the S3 protocol, or a place in one.

    Args:
        client: sends the requests.
        bucket: its name.
        prefix: under which the channel is, without slashes at its ends; may be empty.
        settings: the endpoint and the region.
        keys: gives the keys that sign requests, as they are at the moment; ``None`` for what everybody may do.
        source: where the keys came from, as a person would say it.
        idle: after how many seconds an upload of which nothing comes counts as dead.
    """

    def __init__(
        self,
        client: Client,
        bucket: str,
        prefix: str,
        settings: S3Settings,
        keys: Callable[[], S3Credentials] | None,
        source: str = "",
        *,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self.url = "/".join(filter(None, (f"s3://{bucket}", prefix)))
        self._requests = BucketRequests(client, bucket, prefix, settings, keys, source)
        self._objects = Objects(self._requests)
        self._multipart = Multipart(self._requests, self._objects)
        self._listing = Listing(self._requests)
        self._idle = idle

    def __repr__(self) -> str:
        return f"<S3Bucket {self.url}>"

    @property
    def reading_url(self) -> str:  # type: ignore[override]  # it changes where the bucket turns out to be elsewhere
        """See :class:`Bucket`; it may change when a first request finds that the bucket is in another region."""
        return "/".join(filter(None, (self._requests.base, quote(self._requests.prefix, safe="/-_.~"))))

    @property
    def conditional(self) -> bool:  # type: ignore[override]  # known after the probe
        """See :class:`Bucket`."""
        return self._objects.conditional

    def access(self) -> Access | None:
        """See :class:`Bucket`."""
        if self._requests.auth is None:
            return None
        scope = f"/{quote(self._requests.place.bucket, safe='')}" if self._requests.by_path else "/"
        return Access(self._requests.auth, self._requests.source, scope)

    def locate(self) -> None:
        """Find out in which region the bucket is, so that :attr:`reading_url` and the signatures are right.

        This is for readers, who send no other request before. If the bucket does not answer, nothing changes
        (``HeadBucket``).
        """
        self._requests.send("HEAD")

    def probe(self) -> None:
        """See :class:`Bucket`.

        A small object is written twice: as a new one, although it is there, and in the place of a version that is not
        there. A service that honours conditions refuses both (``PutObject``: ``If-None-Match``, ``If-Match``). Services
        that are known to honour them are only asked whether the bucket can be written.
        """
        was_there = self._refuses({"if-none-match": "*"})
        if is_known(self._requests.place.host):
            return
        honours_absent = was_there or self._refuses({"if-none-match": "*"})
        self._objects.conditional = honours_absent and self._refuses({"if-match": _NO_VERSION})
        if not self._objects.conditional:
            _log.info("%s does not honour conditions", self._requests.place.host)

    def _refuses(self, condition: dict[str, str]) -> bool:
        """Whether the service refuses to write the small object because of *condition*."""
        action = Action(f"write {PROBED}", "s3:PutObject")
        headers = attribute_headers(PROBE_ATTRIBUTES)
        reply = self._requests.send("PUT", PROBED, headers={**headers, **condition}, body=PROBE)
        if reply.status in (409, 412) or reply.code == "ConditionalRequestConflict":
            return True
        if refuses_conditions(reply):
            reply = self._requests.send("PUT", PROBED, headers=headers, body=PROBE)
        self._requests.expect(reply, action)
        if "etag" not in reply.answer.headers:
            raise self._requests.error(reply, action)
        return False

    def stat(self, key: str) -> Stored | None:
        """See :class:`Bucket`."""
        return self._objects.stat(key)

    def read(self, key: str, *, limit: int) -> tuple[bytes, Stored] | None:
        """See :class:`Bucket`."""
        return self._objects.read(key, limit=limit)

    def write(self, key: str, content: bytes, attributes: Attributes, condition: Condition = None) -> str:
        """See :class:`Bucket`."""
        return self._objects.write(key, content, attributes, condition)

    def stage(
        self, key: str, archive: PackageArchive, attributes: Attributes, delivery: Delivery, *, ahead: bool
    ) -> Staged:
        """See :class:`Bucket`: an archive of less than 16 MiB is sent when it is published, unless *ahead*."""
        upload = Upload(self._requests, self._objects, self._multipart, key, archive, attributes, delivery)
        return stage(upload, ahead=ahead)

    def list(self, prefix: str = "", *, folder: bool = False) -> Iterator[Stored]:
        """See :class:`Bucket`."""
        return self._listing.objects(prefix, folder=folder)

    def prefixes(self) -> Sequence[str]:
        """See :class:`Bucket`."""
        return self._listing.folders()

    def delete(self, key: str, version: str | None = None) -> None:
        """See :class:`Bucket`."""
        self._objects.delete(key, version)

    def sweep(self) -> int:
        """See :class:`Bucket`."""
        return sweep(self._requests, self._idle)
