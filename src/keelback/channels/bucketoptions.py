"""Options that say where a bucket is, and whether any of a run's channels has a use for them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from keelback.channels.registry import KINDS, channel_class, recognise, target_of
from keelback.errors import UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.channels.session import BucketOptions


def refuse_unused(options: BucketOptions, places: Sequence[str]) -> None:
    """See that each of *options* counts for one of *places* at least, which are channels as people write them.

    Raises:
        UsageError: one does not; or a place names no channel.
    """
    given = [field.name for field in fields(options) if getattr(options, field.name) is not None]
    kinds = [_kind(place) for place in places] if given else []
    if any(kind is not None and kind not in KINDS for kind in kinds):  # whoever made that kind knows
        return
    used = frozenset[str]().union(*(channel_class(kind).bucket_options for kind in kinds if kind is not None))
    shown = ", ".join(redact(place) for place in places)
    for name in given:
        if name not in used:
            which = "for S3 buckets" if used else "for buckets"
            raise UsageError(f"--{name.replace('_', '-')} is {which}, and not for {shown}", hint="Leave it out.")


def _kind(place: str) -> str | None:
    target = target_of(place)
    found = None if target.kind else recognise(target)
    return target.kind if found is None else found.kind
