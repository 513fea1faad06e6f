"""A prefix.dev that takes identities: it verifies them, mints tokens for them, and takes uploads with those alone.

What it verifies is what PyPI's warehouse does, which is the only such server whose rules are public
(``warehouse/oidc``); how it is spoken to is what rattler does (``rattler_networking``, ``trusted_publishing.rs``).
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

import leaks

from .channel import credential
from .engine import route
from .exchange import Exchange, json_answer
from .issuers import GITHUB, GITLAB, IssuerServer, RefusedIdentity, claims_of
from .prefix import PrefixServer
from .proxy import NamedServer
from .wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .multipart import Part
    from .shelf import Body

AUDIENCE = "prefix.dev"
LEEWAY = 30
_SIDECARS = (".v0.sigs", ".sigs")


@dataclass(frozen=True)
class Publisher:
    """Whose identities are taken for a channel: what is registered on the page of the channel.

    Args:
        issuer: the CI system.
        repository: ``OWNER/NAME`` of GitHub, or the path of a project of GitLab.
        workflow: the file that has the job.
        owner_id: GitHub's number of the owner, which nobody gets who takes over the name.
        environment: the environment that the job must have; None for any.
    """

    issuer: str
    repository: str
    workflow: str
    owner_id: str = "12345"
    environment: str | None = None

    def is_meant_by(self, claims: Mapping[str, Any]) -> bool:
        """Whether a verified identity is that of this publisher."""
        if claims["iss"] != self.issuer:
            return False
        if self.environment is not None and claims.get("environment") != self.environment:
            return False
        return {GITHUB: self._is_github_job, GITLAB: self._is_gitlab_job}[self.issuer](claims)

    def _is_github_job(self, claims: Mapping[str, Any]) -> bool:
        repository, ref, sha = (str(claims.get(name, "")) for name in ("repository", "ref", "sha"))
        workflow = f"{repository}/.github/workflows/{self.workflow}"
        return (
            repository.lower() == self.repository.lower()
            and claims.get("repository_owner_id") == self.owner_id
            and claims.get("job_workflow_ref") in {f"{workflow}@{ref}", f"{workflow}@{sha}"}
            and bool(ref and sha)
            and claims.get("event_name") != "pull_request_target"
        )

    def _is_gitlab_job(self, claims: Mapping[str, Any]) -> bool:
        project, ref, sha = (str(claims.get(name, "")) for name in ("project_path", "ref_path", "sha"))
        workflow = f"{self.issuer.removeprefix('https://')}/{project}//{self.workflow}"
        return (
            project.lower() == self.repository.lower()
            and claims.get("ci_config_ref_uri") in {f"{workflow}@{ref}", f"{workflow}@{sha}"}
            and bool(ref and sha)
        )


class MintingServer(NamedServer, PrefixServer):
    """The server.

    Args:
        issuers: where the keys of each issuer are; nobody else's identities are looked at.
        publishers: whose identities are taken.
        keys: API keys that are taken as well, each with a name for :attr:`used`.
        options: what :class:`PrefixServer` takes.

    Attributes:
        uploads_per_token: how many uploads a token is good for.
        lifetime: the seconds that a token says that it lives; None for tokens that say nothing.
        takes_again: whether an identity may come a second time.
        written: how the answer has the token.
        minted: how many tokens were given out.
        used: what each upload that was let in came with: ``token 1``, ``token 2``, or the name of a key.
        attestations: the bundles that came with archives, by ``subdir/filename``.
    """

    names = ("prefix.dev", "repo.prefix.dev")

    def __init__(
        self,
        issuers: Iterable[IssuerServer],
        publishers: Iterable[Publisher],
        *,
        keys: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(leaks.new_secret("nobodys-key"), **options)
        self.publishers = list(publishers)
        self.uploads_per_token: int | None = None
        self.lifetime: int | None = None
        self.takes_again = False
        self.written: Callable[[str], str] = str
        self.minted = 0
        self.used: list[str] = []
        self.attestations: dict[str, list[Any]] = {}
        self._issuers = {server.issuer.url: server for server in issuers}
        self._key_sets: dict[str, Any] = {}
        self._keys = dict(keys or {})
        self._live: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()
        self._carried: dict[Exchange, tuple[str, Any]] = {}

    @route("POST", r"/api/oidc/mint_token", step="mint")
    def mint(self, exchange: Exchange) -> Answer:
        """A token for an identity; the token is the body."""
        request = exchange.recorded
        self.expect(exchange, request.header("content-type") == "application/json", "the body is not JSON")
        self.expect(exchange, request.header("authorization") is None, "there is a credential beside the identity")
        self.expect(exchange, not request.query, "there is a query")
        try:
            token = json.loads(exchange.read())["token"]
        except (ValueError, KeyError, TypeError):
            token = None
        if not isinstance(token, str):
            return _words(422, "invalid-payload: the body is no JSON object with a token")
        try:
            self._admit(token)
        except RefusedIdentity as error:
            return _words(403 if error.code == "invalid-publisher" else 422, f"{error.code}: {error}")
        return Answer(200, self.written(self._new_token()).encode(), [("Content-Type", "text/plain")])

    @route("POST", r"/api/v1/upload/(?P<channel>.+)", step="upload")
    def upload(self, exchange: Exchange, channel: str) -> Answer:
        """Take in one package, and what attests to it."""
        answer = super().upload(exchange, channel)
        filename, bundle = self._carried.pop(exchange, ("", None))
        if answer.status == 201 and bundle is not None:
            path = next(path for path in self.files if path.endswith(f"/{filename}"))
            self.attestations.setdefault(path, []).append(bundle)
        return answer

    def _file(self, exchange: Exchange, found: Iterator[Part]) -> tuple[str, Body]:
        bundles: list[bytes] = []
        filename, body = super()._file(exchange, _keeping(found, bundles))
        self.expect(exchange, len(bundles) <= 1, "there is more than one attestation")
        if bundles:
            self._carried[exchange] = filename, json.loads(bundles[0])
        return filename, body

    def _get(self, exchange: Exchange, channel: str, subdir: str, name: str) -> Answer:
        if not name.endswith(_SIDECARS):
            return super()._get(exchange, channel, subdir, name)
        bundles = self.attestations.get(f"{subdir}/{name.removesuffix('.sigs').removesuffix('.v0')}")
        return json_answer(200, bundles) if bundles and channel == self.channel else self.refusal(404, "no such file")

    def _refused(self, exchange: Exchange, *, writing: bool) -> Answer | None:
        if not writing:
            return super()._refused(exchange, writing=False) if self.private else None
        token = credential(exchange, "Bearer") or ""
        with self.lock:
            name = self._keys.get(token) or self._live.get(token)
            if name is None:
                return Answer(401, b"invalid or expired token", [("WWW-Authenticate", 'Bearer realm="prefix"')])
            if token in self._keys and exchange in self._carried:
                return self.refusal(422, "an attestation comes with trusted publishing only")
            self.used.append(name)
            if name in self._live.values() and self.used.count(name) == self.uploads_per_token:
                del self._live[token]
        return None

    def _admit(self, token: str) -> None:
        """See that an identity is one that a publisher has, and that it comes for the first time.

        Raises:
            RefusedIdentity: it is not.
        """
        claims = claims_of(token, AUDIENCE, self._keys_of, leeway=LEEWAY, require=["jti"])
        if not any(publisher.is_meant_by(claims) for publisher in self.publishers):
            raise RefusedIdentity("invalid-publisher", "no trusted publisher of this server is the one of the token")
        with self.lock:
            identity = claims["iss"], claims["jti"]
            if identity in self._seen and not self.takes_again:
                raise RefusedIdentity("invalid-reuse-token", "the token has been used before")
            self._seen.add(identity)

    def _keys_of(self, issuer: str) -> Mapping[str, Any] | None:
        """The keys of *issuer* from where its own configuration says that they are, if it is known at all."""
        server = self._issuers.get(issuer)
        if server is None:
            return None
        with self.lock:
            if issuer not in self._key_sets:
                found = _fetched(f"{server.url}/.well-known/openid-configuration")
                if found["issuer"] != issuer:
                    raise RefusedIdentity("invalid-token", "the configuration of the issuer is that of another")
                self._key_sets[issuer] = _fetched(found["jwks_uri"])
            return self._key_sets[issuer]

    def _new_token(self) -> str:
        with self.lock:
            self.minted += 1
            token = leaks.new_secret("minted")
            if self.lifetime is not None:
                claims = {"sub": "channel", "jti": token, "exp": int(time.time()) + self.lifetime}
                token = leaks.watch(jwt.encode(claims, "k" * 32, "HS256"), "minted")
            self._live[token] = f"token {self.minted}"
            return token


def _keeping(found: Iterator[Part], bundles: list[bytes]) -> Iterator[Part]:
    """*found*, with the data of attestations kept in *bundles*."""
    for part in found:
        if part.name == "attestation":
            bundles.append(part.read())
            part.data = iter(bundles[-1:])
        yield part


def _words(status: int, text: str) -> Answer:
    return Answer(status, text.encode(), [("Content-Type", "text/plain; charset=utf-8")])


def _fetched(url: str) -> Any:
    if not re.match(r"http://127\.0\.0\.1:\d+/", url):
        raise ValueError("the keys of an issuer are on this machine")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        return json.load(answer)
