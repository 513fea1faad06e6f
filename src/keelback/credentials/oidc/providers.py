"""Where an identity comes from: the CI systems that make one, in the order in which they are asked."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Final

from keelback.credentials.oidc.idtoken import ANY, IdToken, Remedies
from keelback.secret import announce

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.secret import Secret
    from keelback.transport import Client

PROVIDERS: Final = (
    "keelback.credentials.oidc.github:GitHub",
    "keelback.credentials.oidc.gitlab:GitLab",
    "keelback.credentials.oidc.buildkite:Buildkite",
    "keelback.credentials.oidc.circleci:CircleCI",
    "keelback.credentials.oidc.google:Google",
)
"""Every CI system that is known, the first that is there counts. Google comes last: others run on its machines."""


_GIVEN: Final = Remedies(
    malformed="Copy it again: an ID token has three parts with a dot between them (JWT).",
    expired="Give a new ID token, and check that the clock of this machine is right.",
    used="Give a new ID token: the server takes each once.",
)
"""For an ID token that was made elsewhere."""


class Provider(ABC):
    """A CI system that makes identities.

    There are three outcomes: this is another system (:meth:`is_here`), an identity, or an error that says what is to
    be set up.

    Attributes:
        name: what a person calls it.
        makes_one: whether a job has one identity for each audience, and never another.
    """

    name: ClassVar[str]
    makes_one: ClassVar[bool] = False

    @abstractmethod
    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Whether this process runs in a job of this system; asks nobody."""

    @abstractmethod
    def id_token(self, audience: str, environ: Mapping[str, str], client: Client) -> Secret:
        """A new identity for *audience*; where the system makes one a job, the same each time.

        Raises:
            IdentityError: there is none; the hint says what to set up.
        """

    def remedies(self, audience: str) -> Remedies:  # noqa: ARG002 - for the systems whose jobs declare identities
        """What to do about an identity for *audience* that will not do."""
        return ANY


def provider_in(environ: Mapping[str, str]) -> Provider | None:
    """The CI system in which this process runs, by its variables; ``None`` outside of all that are known."""
    return next((provider for provider in map(_loaded, PROVIDERS) if provider.is_here(environ)), None)


class IdentitySource:
    """Gives the identities of one run; safe to use from several threads at once.

    Args:
        client: sends the requests.
        environ: the variables of the CI system.
        given: an ID token that was made elsewhere (``--oidc-token``), instead of the CI system's own.
    """

    def __init__(self, client: Client, environ: Mapping[str, str], given: Secret | None = None) -> None:
        self._client = client
        self._environ = environ
        self._given = given
        self._lock = threading.Lock()
        self._provider: Provider | None = None
        self._looked = False

    @property
    def offered_by(self) -> str | None:
        """Who offers an identity here, as a person would say it; ``None`` where nobody does."""
        if self._given is not None:
            return self._given.source or "the given ID token"
        provider = self._found()
        return None if provider is None else provider.name

    def identity(self, audience: str) -> IdToken | None:
        """An identity for *audience*; ``None`` where no CI system offers one.

        Raises:
            IdentityError: the CI system is not set up for that, or what it gives is not for this *audience*.
        """
        if self._given is not None:
            source = self.offered_by or ""
            return IdToken.parse(self._given, audience=audience, source=source, remedies=_GIVEN, is_only_one=True)
        provider = self._found()
        if provider is None:
            return None
        token = announce(provider.id_token(audience, self._environ, self._client))
        return IdToken.parse(
            token,
            audience=audience,
            source=provider.name,
            remedies=provider.remedies(audience),
            is_only_one=provider.makes_one,
        )

    def _found(self) -> Provider | None:
        with self._lock:
            if not self._looked:
                self._provider = provider_in(self._environ)
                self._looked = True
            return self._provider


def _loaded(place: str) -> Provider:
    module, _, name = place.partition(":")
    provider: Provider = getattr(import_module(module), name)()
    return provider
