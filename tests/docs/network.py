"""The network of a page: a scripted server for each host that pages name, reached by HTTPS through a proxy.

Commands get the real names: the proxy leads to the server that goes by the name, and the server has a certificate for
it. So keys, URLs and messages are those that a reader sees, and nothing leaves this machine.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, Self

from docs.clouds import Clouds
from docs.repositories import FEEDSTOCK, Cloudsmith, CondaForge, Gitea, Nexus, WebDAV
from leaks import new_secret
from servers.scripted import (
    AnacondaServer,
    Answer,
    ArtifactoryServer,
    Exchange,
    QuetzServer,
    ScriptedServer,
    issuers,
    json_answer,
    route,
)
from servers.scripted.channel import basic_credential, credential
from servers.scripted.channel_server import channel
from servers.scripted.ci_identity import GitHubIdentityServer
from servers.scripted.minting import MintingServer, Publisher
from servers.scripted.proxy import CertificateAuthority, Proxy
from servers.scripted.sigstore_world import SigstoreWorld

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

CHANNEL: Final = "my-channel"
OWNER: Final = "my-org"
REPOSITORY: Final = "conda-local"
USER: Final = "ann"
SOURCES: Final = "my-repo"
"""The repository that the packages of a page are built from, with the owner :data:`OWNER`."""

_NIGHTLY: Final = f"{OWNER}/{SOURCES}/.github/workflows/nightly.yml@refs/tags/v1"
"""A workflow that is no trusted publisher."""


class _Named(ScriptedServer):
    """A server that goes by a name of its own, and not by its address."""

    name = ""

    @property
    def url(self) -> str:
        """The origin, as a client has it."""
        return f"https://{self.name}"

    def arrived(self, exchange: Exchange) -> None:
        """Look for the name where the address is expected."""
        headers = exchange.recorded.headers
        own = f"127.0.0.1:{self.port}"
        headers[:] = [(name, own if name.lower() == "host" else value) for name, value in headers]
        super().arrived(exchange)


class _Prefix(MintingServer):
    """A prefix.dev with a private channel, which one key opens, and those who publish there with an identity.

    Args:
        key: the API key.
        options: what :class:`MintingServer` takes.
    """

    def __init__(self, key: str, **options: Any) -> None:
        super().__init__(keys={key: "the key"}, private=True, **options)
        self._token = key

    def _refused(self, exchange: Exchange, *, writing: bool) -> Answer | None:
        if not writing and credential(exchange, "Bearer") in self._live:
            return None
        return super()._refused(exchange, writing=writing)


class _Anaconda(_Named, AnacondaServer):
    """An anaconda.org which also has conda-forge, and answers for the service of it."""

    name = "api.anaconda.org"

    def __init__(self, token: str, conda_forge: CondaForge, **options: Any) -> None:
        super().__init__(token, **options)
        self._conda_forge = conda_forge

    def respond(self, exchange: Exchange) -> Answer:
        """That of conda-forge, to what is for it."""
        if self._conda_forge.is_for(exchange):
            return self._conda_forge.answer(exchange)
        return super().respond(exchange)

    @route("GET", r"/authentication", step="authentication")
    def authentication(self, exchange: Exchange) -> Answer:
        """What the token permits."""
        if credential(exchange, "token") != self._token:
            return self.refusal(401, "Unauthorized")
        return json_answer(200, {"scopes": ["api:read", "api:write", "conda:download"]})


class _Quetz(_Named, QuetzServer):
    name = "quetz.example.com"

    @route("GET", r"/api/paginated/users", step="users")
    def users(self, exchange: Exchange) -> Answer:
        """The users that a key may see."""
        if exchange.recorded.header("x-api-key") != self._key:
            return self.refusal(401, "Not logged in")
        return json_answer(200, {"pagination": {"skip": 0, "limit": 1, "all_records_count": 1}, "result": []})


class _Artifactory(_Named, ArtifactoryServer):
    name = "example.com"

    @route("GET", r"/artifactory/api/system/ping", step="ping")
    def ping(self, exchange: Exchange) -> Answer:
        """Whether it is well, for those it knows."""
        if self._basic == basic_credential(exchange) or self._token == credential(exchange, "Bearer"):
            return Answer(200, b"OK", [("Content-Type", "text/plain")])
        return self.refusal(401, "Bad credentials")


class _Plain(_Named):
    """A web server with two channels, each with a token of its own."""

    name = "conda.example.com"

    def __init__(self, tokens: dict[str, str], contents: dict[str, Any], tls: ssl.SSLContext) -> None:
        super().__init__(tls=tls)
        self._tokens = tokens
        self._contents = contents

    @route("GET HEAD", r"/(?P<channel>one|two)/(?P<path>.+)", step="get")
    def get(self, exchange: Exchange, channel: str, path: str) -> Answer:
        """A file of a channel."""
        if credential(exchange, "Bearer") != self._tokens[channel]:
            return Answer(401, b"a token is needed", [("WWW-Authenticate", "Bearer")])
        if path not in self._contents:
            return Answer(404, b"not found")
        return Answer(200, self._contents[path])

    def not_found(self, exchange: Exchange) -> Answer:  # noqa: ARG002 - the engine's signature
        """It knows nothing of any API."""
        return Answer(404, b"not found")


class _GitHub(_Named):
    """The API of GitHub, which keeps no attestations here."""

    name = "api.github.com"

    @route(
        "GET", r"/repos/(?P<owner>[^/]+)/(?P<repository>[^/]+)/attestations/sha256:[0-9a-f]{64}", step="attestations"
    )
    def attestations(self, exchange: Exchange, owner: str, repository: str) -> Answer:  # noqa: ARG002 - none has any
        """What is kept for a file."""
        return json_answer(200, {"attestations": []})


class Network:
    """All hosts that pages name; a context.

    Args:
        folder: where the certificate of its authority is put.
        archives: what the channels of a plain web server have.
        clouds: whether there are buckets, too.

    Attributes:
        secrets: the token, key or password of each server, by the variable that would hold it.
        hosts: the server that answers for each host.
        variables: what a program needs to reach them.
        clouds: the buckets.
    """

    def __init__(self, folder: Path, archives: Sequence[Path], *, clouds: bool = False) -> None:
        self.secrets = {
            "PREFIX_API_KEY": new_secret("docs-prefix"),
            "ANACONDA_API_KEY": new_secret("docs-anaconda"),
            "QUETZ_API_KEY": new_secret("docs-quetz"),
            "ARTIFACTORY_TOKEN": new_secret("docs-artifactory-token"),
            "ARTIFACTORY_PASSWORD": new_secret("docs-artifactory-password"),
            "TOKEN_ONE": new_secret("docs-one"),
            "TOKEN_TWO": new_secret("docs-two"),
            "CLOUDSMITH_API_KEY": new_secret("docs-cloudsmith"),
            "STAGING_BINSTAR_TOKEN": new_secret("docs-staging"),
            "FEEDSTOCK_TOKEN": new_secret("docs-feedstock"),
        }
        self.secrets["PASSWORD"] = self.secrets["ARTIFACTORY_PASSWORD"]
        secret = self.secrets
        authority = CertificateAuthority(folder)
        self._authority = authority.file
        tls = authority.tls
        self._github = issuers.github(f"{OWNER}/{SOURCES}")
        self._gitlab = issuers.gitlab(f"{OWNER}/{SOURCES}")
        keys = [issuers.IssuerServer(issuer) for issuer in (self._github, self._gitlab)]
        prefix = _Prefix(
            secret["PREFIX_API_KEY"],
            issuers=keys,
            publishers=[
                Publisher(issuers.GITHUB, f"{OWNER}/{SOURCES}", "release.yml"),
                Publisher(issuers.GITLAB, f"{OWNER}/{SOURCES}", ".gitlab-ci.yml"),
            ],
            channel=CHANNEL,
            tls=tls(*MintingServer.names),
        )
        self._jobs = {
            "github": GitHubIdentityServer(self._github),
            "nightly": GitHubIdentityServer(issuers.github(f"{OWNER}/{SOURCES}", job_workflow_ref=_NIGHTLY)),
        }
        self._sigstore = SigstoreWorld(self._github, self._gitlab)
        names = ("api.anaconda.org", "conda.anaconda.org", "conda-forge.herokuapp.com")
        tokens = secret["STAGING_BINSTAR_TOKEN"], secret["FEEDSTOCK_TOKEN"]
        conda_forge = CondaForge(*tokens, feedstock=FEEDSTOCK, refused=frozenset({"ahoy"}))
        anaconda = _Anaconda(secret["ANACONDA_API_KEY"], conda_forge, owner=OWNER, tls=tls(*names))
        quetz = _Quetz(secret["QUETZ_API_KEY"], channel=CHANNEL, tls=tls("quetz.example.com"))
        artifactory = _Artifactory(
            secret["ARTIFACTORY_TOKEN"],
            username=USER,
            password=secret["ARTIFACTORY_PASSWORD"],
            repo=REPOSITORY,
            tls=tls("example.com"),
        )
        plain = _Plain(
            {"one": secret["TOKEN_ONE"], "two": secret["TOKEN_TWO"]}, channel(*archives), tls("conda.example.com")
        )
        hub = _GitHub(tls=tls("api.github.com"))
        cloudsmith = Cloudsmith(
            secret["CLOUDSMITH_API_KEY"], owner=OWNER, channel=SOURCES, private=True, tls=tls(*Cloudsmith.names)
        )
        ann = (USER, secret["PASSWORD"])
        dav = WebDAV(ann, secret["TOKEN_ONE"], channel=CHANNEL, manners="wants-folders", tls=tls(*WebDAV.names))
        nexus = Nexus(ann, channel="conda-hosted", manners="refuses", tls=tls(*Nexus.names))
        gitea = Gitea(*ann, channel=CHANNEL, tls=tls(*Gitea.names))
        self.servers: list[ScriptedServer] = [
            prefix,
            anaconda,
            quetz,
            artifactory,
            plain,
            hub,
            conda_forge,
            cloudsmith,
            dav,
            nexus,
            gitea,
            *self._jobs.values(),
            *keys,
        ]
        self.hosts: dict[str, ScriptedServer] = {
            "prefix.dev": prefix,
            "repo.prefix.dev": prefix,
            "api.anaconda.org": anaconda,
            "conda.anaconda.org": anaconda,
            "quetz.example.com": quetz,
            "example.com": artifactory,
            "conda.example.com": plain,
            "api.github.com": hub,
            "conda-forge.herokuapp.com": anaconda,
            **{name: server for server in (cloudsmith, dav, nexus, gitea) for name in server.names},
        }
        self.clouds = Clouds(f"{OWNER}/{SOURCES}", tls) if clouds else None
        if self.clouds is not None:
            self.secrets |= self.clouds.secrets
            self.servers += self.clouds.servers
            self.hosts |= self.clouds.hosts
        self._proxy = Proxy(self.hosts)
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for server in self.servers:
            self._running.enter_context(server)
        self._running.enter_context(self._proxy)
        self._running.enter_context(self._sigstore)
        return self

    def __exit__(self, *exception: object) -> None:
        self._running.close()

    @property
    def variables(self) -> dict[str, str]:
        """What a program needs to get there, and nowhere else."""
        return {
            "HTTPS_PROXY": self._proxy.url,
            "SSL_CERT_FILE": str(self._authority),
            "KEELBACK_TRUST_CONFIG": str(self._sigstore.trust_config),
            "AZURE_TOKEN_CREDENTIALS": "WorkloadIdentityCredential",
        }

    def job(self, name: str) -> dict[str, str]:
        """What a job of a CI system finds in its environment.

        Args:
            name: ``github``; ``nightly``, of a workflow there that prefix.dev does not know; ``gitlab``; or ``none``.
        """
        if self.clouds is not None:
            self.clouds.know(self._gitlab if name == "gitlab" else self._github)
        if name in self._jobs:
            return {"CI": "true", **self._jobs[name].environ}
        if name == "gitlab":
            return {"CI": "true", "GITLAB_CI": "true"}
        assert name == "none", f"there is no such job: {name}"
        return {}

    def id_token(self, audience: str) -> str:
        """The ID token that a job on GitLab gets for *audience*, where it declares one."""
        return self._gitlab.token(audience)
