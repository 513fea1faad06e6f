"""What the services mean when they refuse a request: what all of them have in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.errors import ChannelError, ServerError
from keelback.transport import servers_words
from keelback.transport.dates import seconds_ahead

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.errors import KeelbackError
    from keelback.transport import Answer

SLOWLY: Final = "Try again later, or with fewer at once (--jobs, where the command has it)."


@dataclass(frozen=True, slots=True)
class Refused(ABC):
    """A request that did not work.

    Attributes:
        answer: what the service said.
        code: the word by which it calls the error; empty where there is none.
        action: what was asked for, as a person would say it: ``write noarch/foo-1.0-0.conda``.
    """

    answer: Answer
    code: str
    action: str

    @property
    @abstractmethod
    def host(self) -> str:
        """Who said so."""

    @property
    def said(self) -> str:
        """The service's own words, in brackets and behind a colon: `` (SlowDown): Please reduce your rate``."""
        return said_in(self.answer, self.code)

    @property
    def tries(self) -> str:
        """How often it was asked, in words."""
        return f"{self.answer.attempts} attempt{'' if self.answer.attempts == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a refusal means, where it always means the same.

    Attributes:
        words: the message, without what the service said; ``{it.host}`` stands for an attribute of the refusal.
        hint: what to do, in the same form.
        code: of the error; ``None`` for that of its kind.
        kind: of the error.
    """

    words: str
    hint: str = ""
    code: str | None = None
    kind: type[KeelbackError] = ServerError

    def __call__(self, it: Refused) -> KeelbackError:
        """The error that *it* stands for."""
        message, hint = self.words.format(it=it) + it.said, self.hint.format(it=it)
        if issubclass(self.kind, ServerError):
            return self.kind(message, status=it.answer.status, hint=hint, code=self.code)
        return self.kind(message, hint=hint, code=self.code)


BUSY: Final = Meaning("{it.host} had no time to {it.action}, in {it.tries}", SLOWLY, "rate-limited")
DAMAGED: Final = Meaning(
    "{it.host} received other bytes than were sent, when asked to {it.action}",
    "Something on the way changes what is uploaded, such as a proxy; nothing was stored.",
    "damaged",
)
TOO_LARGE: Final = Meaning(
    "{it.host} refused to {it.action}: it is too large",
    "The service, or a proxy in front of it, limits the size of an object or of a request.",
    "too-large",
)


OTHER: Final = Meaning("{it.host} did not {it.action}")


def said_in(answer: Answer, code: str = "") -> str:
    """What *answer* says of its error, which the service calls *code*, to be put behind a message."""
    words = servers_words(answer)
    return f" ({code or answer.status}){f': {words}' if words else ''}"


def not_as(service: str, it: Refused, hint: str) -> ServerError:
    """The error for a success that is not one of *service*: something else answers."""
    return ServerError(
        f"{it.host} answered {it.answer.status} when asked to {it.action}, but not as {service} does",
        status=it.answer.status,
        hint=hint,
        code="bad-answer",
    )


def clock_skew(message: str) -> ChannelError:
    """The error for a clock that is wrong."""
    return ChannelError(message, hint="Set the clock, best by NTP.", code="clock-skew")


def clock_off_by(headers: Mapping[str, str], tolerated: float) -> str:
    """By how much this machine's clock differs from the service's: ``5 minutes fast``.

    Args:
        headers: of an answer.
        tolerated: seconds up to which it is right.

    Returns:
        Nothing where it is right, or the service does not say what time it is.
    """
    ahead = seconds_ahead(headers, time.time())
    if ahead is None or abs(ahead) <= tolerated:
        return ""
    return f"{abs(ahead) / 60:.0f} minutes {'fast' if ahead > 0 else 'slow'}"
