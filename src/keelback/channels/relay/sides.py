"""The sessions of the two channels of a copy: which credentials and bucket options each gets."""

from __future__ import annotations

import copy as shallow
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelback.channels.indexable import Indexable
from keelback.channels.opening import reader_for
from keelback.channels.registry import recognise, target_of
from keelback.channels.session import Given
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
        return self.channel.subdirs(self.session) if isinstance(self.channel, Indexable) else None


def sides_for(places: Sequence[str], session: Session) -> list[Side]:
    """How the channels *places* are read.

    Args:
        places: as a person writes them.
        session: of the target.

    Raises:
        UsageError, CredentialError: as for :func:`~keelback.channels.opening.reader_for`.
    """
    reading = _for_reading(session)
    return [Side(reader_for(place, reading), known_channel(place), reading) for place in places]


def _for_reading(session: Session) -> Session:
    """The session of the sources: the stores, the servers' variables and identities of *session*, and nothing given."""
    trusted = session.trusted
    reading = shallow.copy(session)  # what one server got of variables and identities, the other does not get
    reading.given = Given()
    reading.trusted = TrustedPublishing(Mode.NEVER if trusted.mode is Mode.NEVER else Mode.AUTO, trusted.hosts)
    reading.identities = IdentitySource(session.client, session.environ)
    return reading
