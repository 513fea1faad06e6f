"""What a server's answer means, in the words of :mod:`keelback.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx2

from keelback.errors import CredentialRefused, Forbidden, KeelbackError, ServerError
from keelback.secret import redact
from keelback.transport import servers_words

if TYPE_CHECKING:
    from keelback.transport import Answer

_HINTS: Final = {
    404: "Check the server, the channel and how they are spelled in the URL.",
    407: "A proxy wants a name and a password: put them into its variable, as in http://NAME:PASSWORD@PROXY.",
    413: "The server, or a proxy in front of it, limits the size of a request.",
    429: "The server limits how often it is asked; try again later, or with fewer at once (--jobs, where the command "
    "has it).",
}
_EXCHANGED: Final = "trusted publishing"
_CODES: Final = {404: "not-found", 413: "too-large", 422: "rejected", 429: "rate-limited"}


def exchanged_source(offered_by: str | None) -> str:
    """The source, for messages, of a token that a server gave for an identity from *offered_by*."""
    return f"{_EXCHANGED} ({offered_by})"


def expect(answer: Answer, *statuses: int, source: str | None = None, page: bool = False) -> Answer:
    """*answer*, if it has one of *statuses* (any 2xx, where none is named) and does not contradict itself.

    Args:
        answer: what the server said.
        statuses: what it should have said.
        source: where the credential came from, to be named if it is refused.
        page: whether a web page is accepted with a status other than 200.

    Raises:
        CredentialRefused: 401.
        Forbidden: 403.
        ServerError: any other status; or a success that holds a web page or an error.
    """
    contradiction = _contradiction(answer, page=page) if answer.ok else None
    if contradiction is not None:
        raise ServerError(f"{_host(answer)} said {answer.status}, but {contradiction}", status=answer.status)
    if answer.status in statuses or (not statuses and answer.ok):
        return answer
    raise error_of(answer, source=source)


def error_of(answer: Answer, *, source: str | None = None) -> KeelbackError:
    """The error for *answer*, which is not a success."""
    error = _error_of(answer, source)
    error.attempts = answer.attempts
    return error


def _error_of(answer: Answer, source: str | None) -> KeelbackError:
    host, words = _host(answer), servers_words(answer)
    said = f": {words}" if words else ""
    if answer.status == 401:
        whose = f" from {source}" if source else ""
        return CredentialRefused(
            f"{host} refused the credential{whose} (401){said}",
            hint=_refused_hint(source),
        )
    if answer.status == 403:
        return Forbidden(
            f"{host} does not allow this (403){said}",
            hint="The credential is known there, but may not write to this channel or replace this file.",
        )
    if 300 <= answer.status <= 399:
        return _redirect(answer, host)
    tries = "" if answer.attempts == 1 else f" after {answer.attempts} attempts"
    return ServerError(
        f"{host} answered {answer.status}{tries}{said}",
        status=answer.status,
        hint=_HINTS.get(answer.status, ""),
        code=_CODES.get(answer.status),
    )


def _refused_hint(source: str | None) -> str:
    if source is not None and source.startswith(_EXCHANGED):
        return (
            "The server gave this token a moment ago, and does not take it here: check for which channel the trusted "
            "publisher is registered."
        )
    return "It may have expired, or belong to another server; give a new one."


def _redirect(answer: Answer, host: str) -> ServerError:
    try:
        target = httpx2.URL(answer.headers.get("location", ""))
        where = redact(f"{target.scheme}://{target.netloc.decode()}") if target.host else "another page of itself"
    except httpx2.InvalidURL:
        where = "what is no URL"
    return ServerError(
        f"{host} redirects uploads to {where} ({answer.status}); nothing was sent there",
        status=answer.status,
        hint="Give the URL of the server that takes uploads.",
        code="redirect",
    )


def _contradiction(answer: Answer, *, page: bool) -> str | None:
    """Why a 2xx is not a success, or ``None``."""
    start = answer.content[:200].lstrip().lower()
    is_page = "html" in answer.headers.get("content-type", "") or start.startswith((b"<!doctype html", b"<html"))
    if is_page and (answer.status == 200 or not page):
        return f"sent a web page ({servers_words(answer)!r}): is this the URL of the server, or of a log-in page?"
    document = answer.json() if start.startswith(b"{") else None
    if isinstance(document, dict) and (document.get("error") or document.get("errors")):
        return f"also an error: {servers_words(answer)}"
    return None


def _host(answer: Answer) -> str:
    return httpx2.URL(answer.url).netloc.decode()
