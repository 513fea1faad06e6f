"""All that a run with trusted publishing meets: a CI system, its issuer, prefix.dev, and hosts that only look like it.

::

    with PublishingWorld(tmp_path) as world:
        run_keelback(["publish", "--to", world.channel, "dist"], env=world.github())
    assert world.prefix.minted == 1
    world.assert_clean()
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, Self

from . import issuers
from .ci_identity import GitHubIdentityServer
from .engine import Trap
from .minting import AUDIENCE, MintingServer, Publisher
from .proxy import CertificateAuthority, NamedServer, Proxy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .engine import ScriptedServer

CHANNEL: Final = "my-channel"
LOOKALIKES: Final = ("evil-prefix.dev", "prefix.dev.evil.com", "prefix.dev.", "xn--prefx-q4a.dev", "example.com")
"""Hosts that are not prefix.dev; ``example.com`` does not even look like it."""


class Elsewhere(NamedServer, Trap):
    """Every other host: takes anything, and remembers it."""

    names = LOOKALIKES


class PublishingWorld:
    """The servers and what programs need to find them; a context.

    Args:
        folder: where the certificate of their authority is put.
        keys: API keys that prefix.dev takes, each with a name.
        options: what :class:`MintingServer` takes.

    Attributes:
        prefix: prefix.dev, which has one channel.
        actions: where a job of GitHub Actions asks for identities.
        elsewhere: whoever is behind the other names.
        proxy: the way to all names.
        github_issuer: makes the identities of GitHub's jobs.
        gitlab_issuer: makes those of GitLab's.
    """

    channel = f"https://prefix.dev/{CHANNEL}"

    def __init__(self, folder: Path, *, keys: Mapping[str, str] | None = None, **options: Any) -> None:
        self.github_issuer, self.gitlab_issuer = issuers.github(), issuers.gitlab()
        certificates = CertificateAuthority(folder)
        self._authority = certificates.file
        self._issuers = [issuers.IssuerServer(each) for each in (self.github_issuer, self.gitlab_issuer)]
        publishers = [
            Publisher(issuers.GITHUB, "Acme/foo", "release.yml"),
            Publisher(issuers.GITLAB, "grp/sub/proj", ".gitlab-ci.yml"),
        ]
        tls = certificates.tls(*MintingServer.names)
        self.prefix = MintingServer(self._issuers, publishers, keys=keys, channel=CHANNEL, tls=tls, **options)
        self.actions = GitHubIdentityServer(self.github_issuer)
        self.elsewhere = Elsewhere(tls=certificates.tls(*LOOKALIKES))
        hosts: dict[str, ScriptedServer] = dict.fromkeys(MintingServer.names, self.prefix)
        self.proxy = Proxy(hosts | dict.fromkeys(LOOKALIKES, self.elsewhere))
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for part in (*self.servers, self.proxy):
            self._running.enter_context(part)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def servers(self) -> tuple[ScriptedServer, ...]:
        """All of them."""
        return (self.prefix, self.actions, self.elsewhere, *self._issuers)

    @property
    def network(self) -> dict[str, str]:
        """The variables with which programs find the names."""
        proxied = {"HTTPS_PROXY": self.proxy.url, "HTTP_PROXY": self.proxy.url, "NO_PROXY": "127.0.0.1"}
        return {**proxied, "SSL_CERT_FILE": str(self._authority)}

    @property
    def audiences(self) -> list[str]:
        """For whom jobs of GitHub Actions asked for identities, in order."""
        return [dict(request.query)["audience"] for request in self.actions.requests]

    def github(self) -> dict[str, str]:
        """The environment of a job of GitHub Actions that may write ID tokens."""
        return {**self.network, "CI": "true", **self.actions.environ}

    def gitlab(self, audience: str = AUDIENCE, **changes: Any) -> dict[str, str]:
        """The environment of a job of GitLab CI that declares an ID token for prefix.dev."""
        token = self.gitlab_issuer.token(audience, **changes)
        return {**self.network, "CI": "true", "GITLAB_CI": "true", "PREFIX_DEV_ID_TOKEN": token}

    def assert_clean(self) -> None:
        """Fail where a client broke a protocol, or a server broke itself."""
        for server in self.servers:
            server.assert_clean()
