"""What can happen instead of an answer: whether it may pass, and how to say it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final, TypeVar

import httpcore2
import httpx2

from keelback.errors import TransportError
from keelback.secret import redact

if TYPE_CHECKING:
    from keelback.transport.messages import Request

E = TypeVar("E", bound=BaseException)

NEVER_SENT: Final = (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.ProxyError)
BROKEN: Final = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpx2.DecodingError,
    UnicodeError,
)
"""What can happen instead of an answer; the last two where an answer is not encoded as it says, and where a host has a
name that no resolver could look up."""

_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
"""What OpenSSL calls an answer that is no TLS: https was said to a port that speaks http."""


def is_hopeless(error: Exception) -> bool:
    """Whether a request would break in the same way a moment later: a certificate that is not trusted, mostly."""
    if isinstance(error, httpcore2.ProxyError):
        return not str(error).startswith("5")
    if isinstance(error, httpcore2.LocalProtocolError | UnicodeError):
        return True
    return _cause(error, ssl.SSLCertVerificationError) is not None or _speaks_no_tls(error)


def describe(error: Exception) -> str:
    """What went wrong, in words."""
    kinds = {
        httpcore2.ConnectTimeout: "no connection in time",
        httpcore2.ReadTimeout: "the server did not answer in time",
        httpcore2.WriteTimeout: "the server stopped reading",
    }
    for kind, text in kinds.items():
        if isinstance(error, kind):
            return text
    if isinstance(error, httpcore2.ProxyError):
        return redact(f"the proxy answered {error}")
    return redact(str(error)) or type(error).__name__


def no_answer(request: Request, error: Exception, attempts: int) -> TransportError:
    """The error for a *request* that got no answer in so many *attempts*, the last of which ended with *error*."""
    url = httpx2.URL(request.url)
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    hint = "Check the URL, the network and the proxy variables."
    if _cause(error, ssl.SSLCertVerificationError):
        hint = "If this server uses a certificate of your own authority, name its bundle in SSL_CERT_FILE."
    elif _speaks_no_tls(error):
        hint = "This port does not speak TLS: is it http:// that you want?"
    result = TransportError(f"{url.scheme}://{url.netloc.decode()}: {describe(error)} ({tries})", hint=hint)
    result.attempts = attempts
    return result


def _cause(error: BaseException | None, kind: type[E]) -> E | None:
    """The first error of *kind* among *error* and what led to it."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _speaks_no_tls(error: Exception) -> bool:
    failure = _cause(error, ssl.SSLError)
    return failure is not None and failure.reason in _NOT_TLS
