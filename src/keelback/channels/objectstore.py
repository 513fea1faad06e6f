"""Buckets of object stores: ``s3://BUCKET/CHANNEL``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from keelback.channels.service import Identity, Service, Site
from keelback.credentials.kinds import S3Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.credentials.kinds import Credential
    from keelback.transport import Client


class ObjectStore(Service):
    """An object store, which is told by the scheme of the URL alone."""

    kind: ClassVar[str] = "s3"
    title: ClassVar[str] = "an object store"
    takes: ClassVar[tuple[type[Credential], ...]] = (S3Credentials,)
    login_hint: ClassVar[str] = (
        "Give --s3-access-key-id KEY and --s3-secret-access-key - with the secret on standard input."
    )

    @classmethod
    def whoami(cls, client: Client, site: Site, credential: Credential, environ: Mapping[str, str]) -> Identity:  # noqa: ARG003 - nobody is asked
        """See :class:`Service`: what S3 keys permit shows when they are used."""
        return Identity.unknown("object stores have no endpoint that verifies S3 keys")
