"""What the user said about buckets, and whether it is used by the channels of a run."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from keelback.channels.base import Channel
from keelback.channels.registry import KINDS, recognise, target_of
from keelback.channels.session import BucketOptions
from keelback.errors import UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Sequence


def wants_endpoint(channel: Channel) -> bool:
    """Whether *channel* is in a bucket, and its URL has no endpoint in it, as ``s3+https://HOST/BUCKET`` has."""
    return "endpoint_url" in channel.bucket_options and "+" not in channel.url.partition(":")[0]


def check_bucket_options(options: BucketOptions | None, channels: Sequence[str | Channel]) -> None:
    """Check that each of *options* counts for at least one of *channels*, and the endpoint for one kind of service.

    Args:
        options: what the user said of buckets.
        channels: all of a run; text is what a person writes.

    Raises:
        UsageError: one does not; or a text names no channel.
    """
    if options is None or options == BucketOptions():
        return
    found = [each if isinstance(each, Channel) else recognise(target_of(each)) for each in channels]
    known = [channel for channel in found if channel is not None]
    if options.endpoint_url is not None:
        _refuse_several_kinds(options.endpoint_url, known)
    if any(channel.kind not in KINDS for channel in known):  # whoever made that kind knows
        return
    used = frozenset[str]().union(*(channel.bucket_options for channel in known))
    shown = ", ".join(each.url if isinstance(each, Channel) else redact(each) for each in channels)
    for name in (field.name for field in fields(options)):
        if name not in used and getattr(options, name) is not None:
            option, which = f"--{name.replace('_', '-')}", "for S3 buckets" if used else "for buckets"
            raise UsageError(f"{option} is {which}, and not for {shown}", hint=f"Leave out {option}.")
    if options.endpoint_url is not None and not any(map(wants_endpoint, known)):
        raise UsageError(
            f"{options.endpoint_url} is the endpoint of none of the channels, whose URLs name their own: {shown}",
            hint="Leave out --endpoint-url.",
        )


def _refuse_several_kinds(endpoint: str, channels: Sequence[Channel]) -> None:
    urls = {channel.kind: channel.url for channel in channels if wants_endpoint(channel)}
    if len(urls) > 1:
        raise UsageError(
            f"{endpoint} cannot be the endpoint of {' and of '.join(urls.values())}",
            hint="Write the channel in S3 with its own endpoint: s3+https://HOST/BUCKET/CHANNEL.",
        )
