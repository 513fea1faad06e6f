"""Where AWS gives keys: its security token service, the endpoint of a container, the metadata service of a machine.

(AWS STS API Reference, "AssumeRole"; AWS General Reference, "Signing AWS API requests"; "AWS SDKs and Tools Reference
Guide", "Container credential provider"; Amazon EC2 User Guide, "Use the Instance Metadata Service".)
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import leaks

from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer
from .wire import Answer

ROLE = "arn:aws:iam::123456789012:role/publisher"
INSTANCE_ROLE = "ci-runner"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<scope>[0-9]{8}/(?P<region>[^/]+)/sts/aws4_request), "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


def iso(when: float) -> str:
    """*when*, in Unix seconds, as AWS writes times."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _GivesKeys(ScriptedServer):
    """What all have in common: new keys each time.

    Args:
        life: how long keys last, in seconds.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, *, life: float = 3600, **options: Any) -> None:
        super().__init__(**options)
        self.life = life
        self.members: dict[str, Any] = {}
        """Put over the keys that it gives; ``None`` takes a member out."""
        self.given: list[dict[str, Any]] = []
        """All keys that it gave."""

    def new_keys(self, token_member: str) -> dict[str, Any]:
        """The next keys."""
        keys = {
            "AccessKeyId": f"ASIA{len(self.given):016}",
            "SecretAccessKey": leaks.new_secret("secret-key"),
            token_member: leaks.new_secret("session-token"),
            "Expiration": iso(time.time() + self.life),
            **self.members,
        }
        self.given.append({name: value for name, value in keys.items() if value is not None})
        return self.given[-1]


class RoleServer(_GivesKeys):
    """A security token service that gives the keys of a role to whoever signs with its keys.

    Args:
        access_key_id, secret: the keys that it knows.
        token: the session token that belongs to them, if any.
        options: what :class:`ScriptedServer` and its like take.
    """

    def __init__(self, access_key_id: str, secret: str, token: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.known = {access_key_id: (secret, token)}
        self.forms: list[dict[str, str]] = []
        """The parameters of all requests that were signed well."""

    def refusal(self, status: int, message: str, code: str = "AccessDenied") -> Answer:
        """An error as AWS puts it."""
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        return Answer(status, f"<ErrorResponse>{error}</ErrorResponse>".encode(), [("Content-Type", "text/xml")])

    @route("POST", r"/", step="assume")
    def assume(self, exchange: Exchange) -> Answer:
        """Keys of the role."""
        body = exchange.read()
        signed_by = _AUTHORIZATION.fullmatch(exchange.recorded.header("authorization") or "")
        if signed_by is None or signed_by["id"] not in self.known:
            return self.refusal(403, "The security token included in the request is invalid.", "InvalidClientTokenId")
        secret, token = self.known[signed_by["id"]]
        if exchange.recorded.header("x-amz-security-token") != token:
            return self.refusal(403, "The security token included in the request is invalid.", "InvalidClientTokenId")
        if not hmac.compare_digest(_signature(exchange, body, signed_by, secret), signed_by["signature"]):
            return self.refusal(403, "The signature does not match.", "SignatureDoesNotMatch")
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        fixed = (form.pop("Action", None), form.pop("Version", None))
        self.expect(exchange, fixed == ("AssumeRole", "2011-06-15"), "this is another action")
        allowed = {"RoleArn", "RoleSessionName", "ExternalId", "DurationSeconds"}
        self.expect(exchange, set(form) <= allowed, f"other parameters: {sorted(form)}")
        self.forms.append({**form, "region": signed_by["region"]})
        if form.get("RoleArn") != ROLE:
            return self.refusal(403, f"is not authorized to perform: sts:AssumeRole on resource {form.get('RoleArn')}")
        keys = self.new_keys("SessionToken")
        self.known[keys["AccessKeyId"]] = (keys["SecretAccessKey"], keys["SessionToken"])
        members = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in keys.items())
        result = f"<AssumeRoleResult><Credentials>{members}</Credentials></AssumeRoleResult>"
        return Answer(
            200, f"<AssumeRoleResponse>{result}</AssumeRoleResponse>".encode(), [("Content-Type", "text/xml")]
        )


def _signature(exchange: Exchange, body: bytes, signed_by: re.Match[str], secret: str) -> str:
    """What the signature of a request has to be, worked out anew."""
    request = exchange.recorded
    names = signed_by["names"].split(";")
    headers = "".join(f"{name}:{(request.header(name) or '').strip()}\n" for name in names)
    digest = hashlib.sha256(body).hexdigest()
    canonical = f"POST\n/\n\n{headers}\n{signed_by['names']}\n{digest}"
    when = request.header("x-amz-date") or ""
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{when}\n{signed_by['scope']}\n{hashed}"
    key = b"AWS4" + secret.encode()
    for part in signed_by["scope"].split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


class ContainerServer(_GivesKeys):
    """The endpoint of a container.

    Args:
        options: what :class:`ScriptedServer` and its like take.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.token: str | None = None
        """What it wants to see, if anything."""

    @route("GET", r"/v2/credentials/task", step="keys")
    def keys(self, exchange: Exchange) -> Answer:
        """Keys of the container's role."""
        exchange.discard()
        if exchange.recorded.header("authorization") != self.token:
            return json_answer(401, {"code": "Unauthorized", "message": "the token is not the container's"})
        return json_answer(200, {"RoleArn": ROLE, **self.new_keys("Token")})


class InstanceServer(_GivesKeys):
    """The metadata service of a machine, version 2.

    Args:
        options: what :class:`ScriptedServer` and its like take.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.role: str | None = INSTANCE_ROLE
        """The name of the machine's role; None for none."""
        self._tokens: set[str | None] = set()

    @route("PUT", r"/latest/api/token", step="token")
    def token(self, exchange: Exchange) -> Answer:
        """A token for a session."""
        exchange.discard()
        seconds = exchange.recorded.header("x-aws-ec2-metadata-token-ttl-seconds") or ""
        self.expect(exchange, seconds.isdigit() and 1 <= int(seconds) <= 21600, "no life of the token")
        token = leaks.new_secret("metadata-token")
        self._tokens.add(token)
        return Answer(200, token.encode(), [("Content-Type", "text/plain")])

    @route("GET", r"/latest/meta-data/iam/security-credentials/", step="role")
    def list_roles(self, exchange: Exchange) -> Answer:
        """The name of the role."""
        if (refused := self._checked(exchange)) is not None:
            return refused
        return Answer(404) if self.role is None else Answer(200, self.role.encode(), [("Content-Type", "text/plain")])

    @route("GET", r"/latest/meta-data/iam/security-credentials/(?P<role>.+)", step="keys")
    def keys(self, exchange: Exchange, role: str) -> Answer:
        """Keys of the role."""
        if (refused := self._checked(exchange)) is not None:
            return refused
        self.expect(exchange, role == self.role, "the role is another")
        return json_answer(200, {"Code": "Success", "Type": "AWS-HMAC", **self.new_keys("Token")})

    def _checked(self, exchange: Exchange) -> Answer | None:
        exchange.discard()
        known = exchange.recorded.header("x-aws-ec2-metadata-token") in self._tokens
        return None if self.expect(exchange, known, "this token is not of this service") else Answer(401)
