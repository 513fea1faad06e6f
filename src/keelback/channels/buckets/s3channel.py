"""Channels in S3 buckets, at Amazon and at other services with the protocol: ``s3://BUCKET/CHANNEL``."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, ClassVar

from keelback.channels.buckets.keycheck import CheckedBucketChannel
from keelback.channels.session import BucketOptions
from keelback.channels.target import refuse_part
from keelback.credentials.kinds import S3Credentials
from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.channels.buckets.s3 import S3Bucket
    from keelback.channels.session import Session
    from keelback.channels.target import Target
    from keelback.credentials.kinds import Credential


class S3Channel(CheckedBucketChannel):
    """A channel in an S3 bucket.

    Args:
        name: the bucket's.
        path: the names that lead to the channel in it.
        endpoint: URL of the service, where the channel's own URL says it.
    """

    kind: ClassVar[str] = "s3"
    title: ClassVar[str] = "an S3 bucket"
    shape: ClassVar[str] = "s3://BUCKET/CHANNEL"
    bucket_options: ClassVar[frozenset[str]] = frozenset(field.name for field in fields(BucketOptions))
    takes: ClassVar[tuple[type[Credential], ...]] = (S3Credentials,)
    variables: ClassVar[tuple[str, ...]] = ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_SESSION_TOKEN")
    login_hint: ClassVar[str] = (
        "Log in with: keelback auth login s3://BUCKET --s3-access-key-id KEY --s3-secret-access-key -; or set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
    )

    def __init__(self, name: str, *path: str, endpoint: str | None = None) -> None:
        super().__init__(name, *path)
        self._endpoint = endpoint
        if endpoint is not None:
            scheme, _, host = endpoint.partition("://")
            self.url = "/".join([f"s3+{scheme}://{host}", name, *path])

    @classmethod
    def from_target(cls, target: Target) -> S3Channel | None:
        """``s3://BUCKET/CHANNEL``; ``s3+https://HOST/BUCKET/CHANNEL`` for a service other than Amazon's."""
        if target.kind != cls.kind:
            return None
        refuse_part(target)
        if "+" not in target.text.partition(":")[0]:
            if target.host not in target.text:  # which is a host, and so without regard to case
                raise UsageError(
                    f"{target.text}: the name of a bucket is written in lower case",
                    hint="An old bucket with capitals is named in the path: s3+https://HOST/BUCKET/CHANNEL.",
                )
            return cls(target.host, *target.segments)
        if not target.segments:
            raise UsageError(f"{target.text} names no bucket", hint=f"Write it like {target.text.rstrip('/')}/BUCKET.")
        return cls(*target.segments, endpoint=target.base())

    def bucket(self, session: Session) -> S3Bucket:
        """See :class:`BucketChannel`."""
        from keelback.channels.buckets.s3 import S3Bucket  # noqa: PLC0415 - for those who have one
        from keelback.credentials.aws.chain import find_keys  # noqa: PLC0415 - likewise
        from keelback.credentials.aws.profiles import Profiles  # noqa: PLC0415 - likewise
        from keelback.credentials.aws.settings import s3_settings  # noqa: PLC0415 - likewise

        if session.given:
            raise UsageError(
                f"{session.given.source} is nothing for {self.title}",
                hint="Set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or log in with: keelback auth login "
                f"s3://{self.name}.",
            )
        options = self._options(session)
        profiles = Profiles(session.environ)
        keys = find_keys(session, self.stored_for(session), options, profiles)
        settings = s3_settings(options, session.environ, profiles)
        path = "/".join(self.path)
        if keys is None:
            return S3Bucket(session.client, self.name, path, settings, None)
        place = self.url if self._endpoint is not None else f"{self.url} at {settings.endpoint}"
        session.note_once(f"{place}: keys from {keys.source}")
        return S3Bucket(session.client, self.name, path, settings, keys.current, keys.source)

    def _options(self, session: Session) -> BucketOptions:
        """What the channel's own URL says, the user said, or else the configuration of the rattler family."""
        from keelback.credentials.aws.rattlerconfig import configured_bucket  # noqa: PLC0415 - for those who have one

        options, environ = session.buckets, session.environ
        endpoint = self._endpoint or options.endpoint_url
        if endpoint or environ.get("S3_ENDPOINT_URL"):
            return replace(options, endpoint_url=endpoint)
        configured = configured_bucket(self.name, environ)
        if configured is None:
            return options
        return replace(
            options,
            endpoint_url=configured.endpoint_url,
            region=options.region or environ.get("S3_REGION") or configured.region,
            addressing_style=options.addressing_style
            or environ.get("S3_ADDRESSING_STYLE")
            or configured.addressing_style,
        )

    def stored_for(self, session: Session) -> str:  # noqa: ARG002 - others have their endpoint in it
        """See :class:`CheckedBucketChannel`: the same wherever the bucket is, as for the rattler family."""
        return "/".join([f"s3://{self.name}", *self.path])

    def settings(self, session: Session) -> Mapping[str, str]:
        """See :class:`CheckedBucketChannel`."""
        from keelback.credentials.aws.settings import s3_settings  # noqa: PLC0415 - for those who ask

        found = s3_settings(self._options(session), session.environ)
        style = "path" if found.path_style else "virtual-host"
        return {"endpoint": found.endpoint, "region": found.region, "addressing_style": style}

    def configuration(self, session: Session) -> str:
        """See :class:`CheckedBucketChannel`."""
        from keelback.credentials.aws.rattlerconfig import config_file, config_lines  # noqa: PLC0415 - for who asks
        from keelback.credentials.aws.settings import s3_settings  # noqa: PLC0415 - likewise

        found = s3_settings(self._options(session), session.environ)
        lines = config_lines(self.name, found.endpoint, found.region, path_style=found.path_style)
        named = "" if session.buckets.endpoint_url is None else f"write s3+{found.endpoint}/{self.name}/CHANNEL, or "
        return f"{named}put this into {config_file(session.environ)}:\n{lines}"

    def opened_with(self, session: Session, credential: Credential) -> S3Bucket:
        """See :class:`CheckedBucketChannel`."""
        from keelback.channels.buckets.s3 import S3Bucket  # noqa: PLC0415 - for those who have one
        from keelback.credentials.aws.settings import s3_settings  # noqa: PLC0415 - likewise

        assert isinstance(credential, S3Credentials)  # noqa: S101 - the only kind that a bucket takes
        settings = s3_settings(self._options(session), session.environ)
        path = "/".join(self.path)
        return S3Bucket(session.client, self.name, path, settings, lambda: credential, "the command line")
