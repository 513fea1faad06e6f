"""What goes wrong while something is signed, said so that a user can put it right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keelback.errors import AttestationError, KeelbackError, TransportError
from keelback.hosts import host_of
from keelback.secret import redact
from keelback.transport import Answer, is_temporary, servers_words

if TYPE_CHECKING:
    import requests

    from keelback.credentials.oidc.idtoken import IdToken

AUTHORITY: Final = "the certificate authority"
LOG: Final = "the transparency log"

_AGAIN: Final = "Run the same command again."
_FOR_GOOD: Final = "Ask whoever runs this Sigstore deployment: the same request gets the same answer."
_NETWORK: Final = "Check the network and its proxy (HTTPS_PROXY, and REQUESTS_CA_BUNDLE for certificates of your own)."
_MOST_CAUSES: Final = 16


class Again(Exception):
    """What went wrong may be right a moment later.

    Args:
        error: what is raised when it has been tried often enough.
        retry_after: the server's own wish for when.
    """

    def __init__(self, error: KeelbackError, retry_after: str | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.retry_after = retry_after


def explained(error: Exception, server: str, identity: IdToken) -> Exception:
    """What *error* means to a user, whichever library it is of: an error of keelback's own, or :class:`Again` of one.

    Args:
        error: what ``sigstore``, or something below it, raised.
        server: which of the deployment's servers was asked, as far as is known.
        identity: what was signed with.
    """
    if isinstance(error, KeelbackError):
        return error
    import requests  # noqa: PLC0415 - comes with the extra

    failure = next((cause for cause in _causes(error) if isinstance(cause, requests.RequestException)), None)
    if isinstance(failure, requests.TooManyRedirects):
        return AttestationError(
            f"{server} sends the request elsewhere: refused",
            hint="See whether a proxy answers in its place, and whether the trust configuration has its own address.",
            code="redirect",
        )
    if failure is not None and failure.response is not None and not failure.response.ok:
        return _answered(failure.response, server, identity)
    if isinstance(failure, requests.ConnectionError | requests.Timeout) and failure.request is not None:
        host = host_of(str(failure.request.url))
        return Again(TransportError(f"{host}: no answer from {server}: {_words(failure)}", hint=_NETWORK))
    if "timestamp" in str(error):
        return AttestationError(
            f"no time stamp authority gave a time stamp: {_words(error)}", hint=_AGAIN, code="signing"
        )
    return AttestationError(
        f"what came from {server} cannot be used: {_words(error) or type(error).__name__}",
        hint="See whether the trust configuration is that of this Sigstore deployment, and up to date.",
        code="signing",
    )


def _answered(response: requests.Response, server: str, identity: IdToken) -> Exception:
    """A refusal; what the identity says helps where it is the identity that is refused."""
    url = str(response.url)
    words = servers_words(Answer(response.status_code, response.headers, response.content, url))
    message = f"{host_of(url)}: {server} answered HTTP {response.status_code}{f': {words}' if words else ''}"
    if server == AUTHORITY and response.status_code in (400, 401, 403):
        return AttestationError(
            f"{message} (the identity from {identity.source} says {', '.join(identity.shown())})",
            hint="See whether this Sigstore deployment takes identities of that CI system.",
            code="signing",
        )
    if is_temporary(response.status_code):
        return Again(AttestationError(message, hint=_AGAIN, code="signing"), response.headers.get("retry-after"))
    return AttestationError(message, hint=_FOR_GOOD, code="signing")


def _causes(error: Exception) -> list[BaseException]:
    """*error*, and what it comes from: causes, contexts, and errors that were given to it as arguments."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(found) < _MOST_CAUSES:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__, *one.args]
    return found


def _words(error: BaseException) -> str:
    return " ".join(redact(str(error)).split())[:300]
