"""Stores, credentials and requests in words, without anything secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, HeaderAuth, OAuth, S3Credentials
from keelback.credentials.oidc.exchanged import ExchangedToken
from keelback.diagnosis.stores import State
from keelback.findings import printable
from keelback.secret import MASK, redact

if TYPE_CHECKING:
    import httpx2

    from keelback.credentials.kinds import Credential
    from keelback.diagnosis.stores import Opened

_DISPLAYED: Final = {S3Credentials.kind: "S3", ExchangedToken.kind: "short-lived token"}
"""Where ``rattler auth status`` has another name for a kind than the auth file (rattler, auth.rs), or has none."""

A_CREDENTIAL: Final = "a credential"
"""What is sent, where no more is known of it."""


def kind_name(credential: Credential | type[Credential]) -> str:
    """What a person is told the kind is, by the names of ``rattler auth status``."""
    return _DISPLAYED.get(credential.kind, credential.kind)


def state_words(opened: Opened) -> str:
    """What a person is told of a store that cannot be looked in, or is not there; empty where it can."""
    match opened.state:
        case State.ABSENT:
            return f"none on this machine ({opened.why})" if opened.why else "not there"
        case State.BROKEN:
            return "cannot be read"
        case State.OFF:
            return f"not asked ({opened.why})"
        case State.SILENT:
            return f"did not answer ({opened.why})"
    return ""


def sent_by(auth: httpx2.Auth | None) -> str | None:
    """What *auth* puts onto a request; ``None`` where there is no credential."""
    match auth:
        case None:
            return None
        case BearerToken() | OAuth() | ExchangedToken():
            return f"Authorization: Bearer {MASK}"
        case BasicHTTP():
            return f"Authorization: Basic {MASK}"
        case CondaToken():
            return f"/t/{MASK}/ in the path"
        case HeaderAuth():
            return f"{auth.header}: {auth.prefix}{MASK}"
    return A_CREDENTIAL


def shown_url(url: str) -> str:
    """*url* without its query, which may hold a signature, and redacted."""
    return redact(url.partition("?")[0])


def one_line(text: str) -> str:
    """*text* as it may stand on a terminal, in one line: redacted, and nothing in it steers the terminal."""
    return printable(redact(text).replace("\n", " "))
