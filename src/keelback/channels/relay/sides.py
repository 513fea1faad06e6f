"""What each of the two channels of a copy is told: of credentials, and of where buckets are."""

from __future__ import annotations

import copy as shallow
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keelback.channels.reader import reader_for
from keelback.channels.registry import recognise, target_of
from keelback.channels.session import BucketOptions, Given
from keelback.credentials.oidc.providers import IdentitySource
from keelback.credentials.oidc.trusted import Mode, TrustedPublishing
from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.channels.base import Channel
    from keelback.channels.reader import Reader
    from keelback.channels.session import Session


def known_channel(source: str) -> Channel | None:
    """The channel of a known kind that *source* names."""
    with suppress(UsageError):
        return recognise(target_of(source))
    return None


@dataclass(frozen=True, slots=True)
class Side:
    """A channel that is read.

    Attributes:
        reader: of it.
        channel: itself, where it is of a known kind.
        session: what it is read with.
    """

    reader: Reader
    channel: Channel | None
    session: Session

    @property
    def subdirs(self) -> Sequence[str] | None:
        """Those that it has; ``None`` where each has to be asked for."""
        return None if self.channel is None else self.channel.subdirs(self.session)


def sides_for(places: Sequence[str], session: Session, buckets: BucketOptions | None) -> list[Side]:
    """How the channels *places* are read.

    Args:
        places: as a person writes them.
        session: of the target.
        buckets: what the person said of buckets.

    Raises:
        UsageError, CredentialError: as for :func:`~keelback.channels.reader.reader_for`.
    """
    reading = _for_reading(session)
    sides = []
    for place in places:
        channel = known_channel(place)
        own = shallow.copy(reading)
        own.buckets = buckets_of(channel, buckets) or BucketOptions()
        own = reading if own.buckets == reading.buckets else own
        sides.append(Side(reader_for(place, own), channel, own))
    return sides


def _for_reading(session: Session) -> Session:
    """The session of the sources: the stores, the servers' variables and identities of *session*, and nothing given."""
    trusted = session.trusted
    reading = shallow.copy(session)  # what one server got of variables and identities, the other does not get
    reading.given = Given()
    reading.trusted = TrustedPublishing(Mode.NEVER if trusted.mode is Mode.NEVER else Mode.AUTO, trusted.hosts)
    reading.identities = IdentitySource(session.client, session.environ)
    return reading


def buckets_of(channel: Channel | None, buckets: BucketOptions | None) -> BucketOptions | None:
    """What of *buckets* is for *channel*: its URL may have the endpoint in it."""
    if buckets is None or channel is None or channel.wants_endpoint:
        return buckets
    return replace(buckets, endpoint_url=None)


def check_endpoint(places: Sequence[str], buckets: BucketOptions | None) -> None:
    """See that the endpoint in *buckets*, if there is one, is that of one kind of service.

    Args:
        places: all channels, as a person writes them.
        buckets: what the person said of buckets.

    Raises:
        UsageError: it is that of several kinds, or of none of the channels.
    """
    if buckets is None or buckets.endpoint_url is None:
        return
    channels = [channel for place in places if (channel := known_channel(place)) is not None]
    wanting = {channel.kind: channel.url for channel in channels if channel.wants_endpoint}
    if len(wanting) > 1:
        raise UsageError(
            f"{buckets.endpoint_url} cannot be the endpoint of {' and of '.join(wanting.values())}",
            hint="Write the channel in S3 with its own endpoint: s3+https://HOST/BUCKET/CHANNEL.",
        )
    if not wanting:
        raise UsageError(
            f"{buckets.endpoint_url} is the endpoint of none of the channels", hint="Leave out --endpoint-url."
        )
