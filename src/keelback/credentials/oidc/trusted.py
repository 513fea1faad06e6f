"""Whether an identity may be exchanged, and with which servers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from keelback.errors import UsageError
from keelback.hosts import host_of
from keelback.secret import as_secret

if TYPE_CHECKING:
    from collections.abc import Collection

    from keelback.secret import Secret


class Mode(StrEnum):
    """When an identity is exchanged for a token (``--trusted-publishing``)."""

    AUTO = "auto"
    """Where a CI system offers an identity, and no credential was given; the stores serve where that fails."""
    ALWAYS = "always"
    """In any case: nothing else will do."""
    NEVER = "never"
    """Never: no identity is asked for."""


@dataclass(frozen=True)
class TrustedPublishing:
    """What the user said of trusted publishing.

    Attributes:
        mode: when.
        hosts: servers that get an identity besides those that are known to take one, as they stand in keys.
        id_token: an ID token that was made elsewhere (``--oidc-token``).
    """

    mode: Mode = Mode.AUTO
    hosts: frozenset[str] = frozenset()
    id_token: Secret | None = None

    @classmethod
    def of(cls, mode: str = "auto", hosts: Collection[str] = (), id_token: Secret | str | None = None) -> Self:
        """See the class; raises ``UsageError`` for another *mode*, what is not a host name, or a contradiction."""
        if mode not in list(Mode):
            raise UsageError(f"trusted publishing: {mode!r} is not a valid mode", hint=f"Use one of {', '.join(Mode)}.")
        id_token = as_secret(id_token, "oidc_token")
        if mode == Mode.NEVER and id_token is not None:
            raise UsageError(
                f"{id_token.source or 'an ID token'} cannot be combined with --trusted-publishing never",
                hint="Leave out one of them.",
            )
        return cls(Mode(mode), frozenset(map(_host, hosts)), id_token)

    @property
    def insists(self) -> bool:
        """Whether the user wants trusted publishing, and nothing in its place."""
        return bool(self.by_option)

    @property
    def by_option(self) -> str:
        """How the user said that, as a person would say it; empty where nobody insists."""
        if self.id_token is not None:
            return self.id_token.source or "an ID token"
        return "--trusted-publishing always" if self.mode is Mode.ALWAYS else ""


def _host(name: str) -> str:
    """*name* as hosts are compared.

    Raises:
        UsageError: it is none, or a wildcard: whoever gets an identity is named one by one.
    """
    host = "" if any(letter in name for letter in "/@*?#\\") else host_of(f"https://{name}")
    if not host:
        raise UsageError(
            f"{name!r} is not a host name",
            hint="Name the host alone, as in --trusted-publishing-host conda.example.com.",
        )
    return host
