"""What is known of a kind of server: where it is, which credentials it takes, and how it is asked about one.

Nothing outside the module of a kind knows its name; the others ask :mod:`keelback.channels.registry` for all of them.
"""

from __future__ import annotations

import re
from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from keelback.channels.target import ALIASES
from keelback.hosts import host_of, split_url
from keelback.secret import redact
from keelback.transport import servers_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.credentials.kinds import Credential
    from keelback.transport import Answer, Client


@dataclass(frozen=True)
class Identity:
    """What a server says of a credential.

    Attributes:
        valid: whether it takes the credential; ``None`` where that cannot be told.
        name: of the user; ``None`` where the server does not tell.
        permits: ``read`` and ``upload``, as far as the server tells; empty where it does not.
        expires: when it expires, in Unix seconds; ``None`` where the server does not tell.
        said: what the server said, or why it was not asked; redacted.
    """

    valid: bool | None
    name: str | None = None
    permits: tuple[str, ...] = ()
    expires: int | None = None
    said: str = ""

    @classmethod
    def refused(cls, answer: Answer) -> Self:
        """The server does not take the credential, and *answer* says so."""
        return cls(valid=False, said=f"{answer.status}: {servers_words(answer)}".rstrip(": "))

    @classmethod
    def unknown(cls, said: str) -> Self:
        """Whether the server takes it cannot be told; *said* is why."""
        return cls(valid=None, said=said)


@dataclass(frozen=True)
class Site:
    """Where a server is, as a person wrote it.

    Attributes:
        kind: the word before the scheme: ``quetz`` of ``quetz+https://HOST``, ``s3`` of ``s3://BUCKET``; may be empty.
        host: as it stands in keys, without a wildcard.
        origin: scheme, host and port, without a kind, a wildcard or a user.
        segments: those of the path.
        text: as it was written.
    """

    kind: str
    host: str
    origin: str
    segments: tuple[str, ...]
    text: str = ""

    @classmethod
    def of(cls, place: str) -> Self:
        """The server at *place*: a host, or any URL of the server; a kind may stand before its scheme."""
        url = place if "://" in place else f"https://{place}"
        scheme, rest = split_url(url)
        kind, _, scheme = scheme.rpartition("+")
        if scheme not in {"http", "https"}:  # quetz://HOST means the same as quetz+https://HOST
            kind, scheme = kind or scheme, "https"
        before_query = re.split(r"[?#]", rest.lstrip("/\\"), maxsplit=1)[0]
        authority, *path = re.split(r"[/\\]", before_query)
        netloc = authority.rpartition("@")[2].removeprefix("*.")
        host, segments = host_of(f"https://{netloc}"), tuple(filter(None, path))
        return cls(ALIASES.get(kind, kind), host, f"{scheme}://{netloc}", segments, place)

    def base(self, count: int = 0) -> str:
        """The origin, and the first *count* segments of the path."""
        return "/".join([self.origin, *self.segments[:count]])

    def up_to(self, segment: str) -> str | None:
        """The origin, and the path up to *segment* without it; ``None`` where that is not in the path."""
        return self.base(self.segments.index(segment)) if segment in self.segments else None


class Service(ABC):
    """A kind of server, whichever of them is meant.

    Attributes:
        kind: the word for it in ``KIND+https://...``.
        title: what a person calls it.
        shape: how a channel of this kind is written, where that is not ``KIND+https://...``.
        takes: the kinds of credential that it takes, the usual one first; empty where that is not known.
        variables: those that hold a credential for it, and take precedence over all stores.
        bucket_options: which of :class:`~keelback.channels.session.BucketOptions` count for it.
        login_hint: how to log in where there is nobody to ask, as a sentence.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    shape: ClassVar[str] = ""
    takes: ClassVar[tuple[type[Credential], ...]] = ()
    variables: ClassVar[tuple[str, ...]] = ()
    bucket_options: ClassVar[frozenset[str]] = frozenset()
    login_hint: ClassVar[str] = ""

    @classmethod
    def is_at(cls, host: str, segments: Sequence[str]) -> bool:  # noqa: ARG003 - for those that can be told by them
        """Whether a URL with this *host*, as it stands in keys, and these *segments* is one of this kind."""
        return False

    @classmethod
    def usual_username(cls, site: Site) -> str:  # noqa: ARG003 - for those where it goes without saying
        """The only user name that can log in at *site*; empty where the user has to give one."""
        return ""

    @classmethod
    def answers(cls, client: Client, site: Site) -> bool:  # noqa: ARG003 - for those that have such a question
        """Whether a server of this kind answers at *site*, as far as can be asked without a credential.

        Raises:
            TransportError: no answer came.
        """
        return False

    @classmethod
    def whoami(
        cls,
        client: Client,  # noqa: ARG003 - for those that have such a question
        site: Site,  # noqa: ARG003
        credential: Credential,  # noqa: ARG003
        environ: Mapping[str, str],  # noqa: ARG003
    ) -> Identity:
        """Ask the server at *site* whose *credential* is: the cheapest question that tells a good one from a bad one.

        Args:
            client: sends the requests.
            site: where the server is.
            credential: one of a kind that the server takes.
            environ: the variables.

        Raises:
            TransportError: no answer came.
            ServerError: an answer that says nothing about the credential, such as a 500.
            CredentialError: an OAuth login that has expired, and could not be renewed.
        """
        return Identity.unknown("this server has no endpoint that verifies a credential")


def shown_text(value: object) -> str | None:
    """*value*, which a server sent, if it is printable text: redacted and shortened; else ``None``."""
    return redact(value)[:200] if isinstance(value, str) and value and value.isprintable() else None
