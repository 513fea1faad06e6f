"""A server that logs people in: discovery, device code, authorization code with PKCE, rotation, revocation.

It follows RFC 6749, 7009, 7636, 8414, 8628 and 9207 and OpenID Connect Core 1.0, and objects to whatever a client does
that they do not allow. The person in front of the browser is played by :meth:`OAuthServer.browse`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.error
import urllib.request
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote_plus, urlencode

import leaks

from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer
from .wire import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
USER_CODE = "WDJB-MJHT"
NAME = "ann@example.com"
FAR_AWAY = 4_000_000_000
"""Unix seconds."""


@dataclass(frozen=True)
class Page:
    """What a browser shows."""

    url: str
    status: int
    headers: Message
    text: str


def visit(url: str, data: bytes | None = None) -> Page:
    """Open a page as a browser does, which follows redirects and logs nothing."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(url, data, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return Page(answer.url, answer.status, answer.headers, answer.read().decode())


class OAuthServer(ScriptedServer):
    """A server that logs ann in.

    Args:
        client_secret: the password of the application; it has none by default.
        expires_in: how long access tokens live, in seconds; ``None`` to say nothing of it.
        rotating: whether each renewal gives a new refresh token, and ends everything where an old one comes again.
        options: what :class:`ScriptedServer` takes.
    """

    client_id = "rattler"

    def __init__(
        self, *, client_secret: str | None = None, expires_in: object = 3600, rotating: bool = True, **options: Any
    ) -> None:
        super().__init__(**options)
        self.client_secret = client_secret
        self.expires_in = expires_in
        self.rotating = rotating
        self.metadata: dict[str, Any] = {}
        """Put over what discovery says; ``None`` takes a member out."""
        self.device: dict[str, Any] = {}
        """Put over what the device endpoint says, likewise."""
        self.tokens: dict[str, Any] = {}
        """Put over what the token endpoint gives, likewise."""
        self.claims: dict[str, Any] = {}
        """Put over what the ID token says, likewise."""
        self.polls: deque[str] = deque()
        """Errors that a question for a device's tokens meets before it succeeds; the last one, ``...``, goes on."""
        self.redirect: dict[str, str] | None = None
        """What the browser brings back in place of a code."""
        self.live: dict[str, str] = {}
        """Every token that is good, and which kind it is."""
        self._codes: dict[str, dict[str, str]] = {}
        self._device_codes: set[str] = set()
        self._used: set[str] = set()

    @property
    def issuer(self) -> str:
        """The server's own URL."""
        return self.url

    def grants(self, kind: str) -> int:
        """How many requests of one grant type came."""
        forms = [dict(parse_qsl((request.body or b"").decode())) for request in self.of_step("token")]
        return sum(form.get("grant_type") == kind for form in forms)

    def browse(self, url: str) -> bool:
        """Be the browser of somebody who says yes to everything; as a browser that can be opened."""
        self.page = visit(url)
        return True

    def new_login(self) -> tuple[str, str]:
        """An access and a refresh token, as of a login some time ago."""
        return self._new("access_token"), self._new("refresh_token")

    @route("GET", r"/\.well-known/openid-configuration", step="discovery")
    def discovery(self, _exchange: Exchange) -> Answer:
        """What this server says of itself."""
        members = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
            "revocation_endpoint": f"{self.url}/revoke",
            "jwks_uri": f"{self.url}/jwks.json",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }
        return json_answer(200, _over(members, self.metadata))

    @route("GET", r"/authorize", step="authorize")
    def authorize(self, exchange: Exchange) -> Answer:
        """Ann says yes, and her browser goes back to where it came from."""
        query = dict(exchange.recorded.query)
        expect = self.expect
        expect(exchange, len(query) == len(exchange.recorded.query), "a parameter was sent twice")
        expect(exchange, query.get("response_type") == "code", "response_type is not code")
        expect(exchange, query.get("client_id") == self.client_id, "client_id is another")
        expect(exchange, query.get("code_challenge_method") == "S256", "the challenge is not made with S256")
        expect(exchange, len(query.get("code_challenge", "")) == 43, "the challenge is no SHA-256")
        expect(exchange, min(len(query.get(name, "")) for name in ("state", "nonce")) >= 22, "state, nonce: guessable")
        wants_offline = "offline_access" in query.get("scope", "").split()
        expect(exchange, not wants_offline or query.get("prompt") == "consent", "offline_access without prompt=consent")
        back = query["redirect_uri"]
        expect(exchange, back.startswith("http://127.0.0.1:"), "the redirect URI is not this machine's")
        code = leaks.new_secret("code")
        self._codes[code] = query
        brought = {"code": code, "state": query["state"]} if self.redirect is None else self.redirect
        brought = {name: value.replace("STATE", query["state"]) for name, value in brought.items()}
        return Answer(302, headers=[("Location", f"{back}?{urlencode(brought)}")])

    @route("POST", r"/device", step="device")
    def give_device_code(self, exchange: Exchange) -> Answer:
        """Codes for a device and for the person."""
        self._form(exchange)
        code = leaks.new_secret("device-code")
        self._device_codes.add(code)
        members = {
            "device_code": code,
            "user_code": USER_CODE,
            "verification_uri": f"{self.url}/activate",
            "verification_uri_complete": f"{self.url}/activate?user_code={USER_CODE}",
            "expires_in": 600,
            "interval": 5,
        }
        return json_answer(200, _over(members, self.device))

    @route("GET", r"/activate", step="activate")
    def activate(self, _exchange: Exchange) -> Answer:
        """The page on which the code is typed."""
        return Answer(200, b"<html></html>", [("Content-Type", "text/html")])

    @route("POST", r"/token", step="token")
    def token(self, exchange: Exchange) -> Answer:
        """Tokens for a code, a device code or a refresh token."""
        form = self._form(exchange)
        with self.lock:
            handlers = {"authorization_code": self._for_code, "refresh_token": self._for_refresh_token}
            handler = handlers.get(form.get("grant_type", ""), self._for_device_code)
            return handler(exchange, form)

    @route("POST", r"/revoke", step="revoke")
    def revoke(self, exchange: Exchange) -> Answer:
        """Forget a token; also one that was never known (RFC 7009, section 2.2)."""
        form = self._form(exchange)
        known = self.live.pop(form.get("token", ""), None)
        self.expect(exchange, known in {None, form.get("token_type_hint")}, "token_type_hint is another kind")
        return Answer(200)

    def _for_code(self, exchange: Exchange, form: Mapping[str, str]) -> Answer:
        asked = self._codes.pop(form.get("code", ""), None)
        if not self.expect(exchange, asked is not None, "the code is none, or was used before") or asked is None:
            return _error("invalid_grant", "no such code")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self.expect(exchange, challenge == asked["code_challenge"], "the verifier is not the challenge's")
        self.expect(exchange, form.get("redirect_uri") == asked["redirect_uri"], "redirect_uri is another than before")
        return self._give(asked["nonce"])

    def _for_device_code(self, exchange: Exchange, form: Mapping[str, str]) -> Answer:
        known = form.get("grant_type") == DEVICE_GRANT and form.get("device_code") in self._device_codes
        if not self.expect(exchange, known, "neither the grant type nor the device code is known"):
            return _error("invalid_grant", "no such device code")
        if self.polls:
            error = self.polls[0] if len(self.polls) == 2 and self.polls[1] == "..." else self.polls.popleft()
            return _error(error, "as scripted")
        return self._give(None)

    def _for_refresh_token(self, _exchange: Exchange, form: Mapping[str, str]) -> Answer:
        token = form.get("refresh_token", "")
        if token in self._used:
            self.live.clear()  # it may have been stolen (RFC 9700, section 4.14.2)
        if self.live.get(token) != "refresh_token":
            return _error("invalid_grant", f"grant request is invalid: {token}")
        if self.rotating:
            del self.live[token]
            self._used.add(token)
        return self._give(None, with_refresh_token=self.rotating)

    def _give(self, nonce: str | None, *, with_refresh_token: bool = True) -> Answer:
        claims = {"iss": self.issuer, "aud": self.client_id, "sub": "7", "email": NAME, "nonce": nonce}
        claims["exp"] = FAR_AWAY
        members = {
            "access_token": self._new("access_token"),
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "refresh_token": self._new("refresh_token") if with_refresh_token else None,
            "id_token": leaks.watch(_jwt(_over(claims, self.claims)), "id-token"),
        }
        return json_answer(200, _over(members, self.tokens), [("Cache-Control", "no-store")])

    def _new(self, kind: str) -> str:
        token = leaks.new_secret(kind.replace("_", "-"))
        self.live[token] = kind
        return token

    def _form(self, exchange: Exchange) -> dict[str, str]:
        """The form of a request, and a look at who sends it."""
        request = exchange.recorded
        pairs = parse_qsl(exchange.read().decode(), keep_blank_values=True, strict_parsing=True)
        form = dict(pairs)
        self.expect(exchange, len(pairs) == len(form), "a parameter was sent twice")
        self.expect(exchange, not request.query, "the query holds something")
        media = request.header("content-type")
        self.expect(exchange, media == "application/x-www-form-urlencoded", "the body is not announced as a form")
        if self.client_secret is None:
            self.expect(exchange, request.header("authorization") is None, "a public application has no password")
            self.expect(exchange, form.get("client_id") == self.client_id, "client_id is another")
        else:
            both = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"  # RFC 6749, section 2.3.1
            basic = base64.b64encode(both.encode()).decode()
            self.expect(exchange, request.header("authorization") == f"Basic {basic}", "the password is wrong")
            self.expect(exchange, "client_secret" not in form, "the password is in the form as well")
        return form


def _over(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


def _error(error: str, description: str) -> Answer:
    return json_answer(400, {"error": error, "error_description": description})


def _jwt(claims: dict[str, Any]) -> str:
    """A token that is signed by nobody: who gets it over TLS from where it is made need not look at the signature."""
    parts = (json.dumps({"alg": "RS256"}), json.dumps(claims), "no signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)
