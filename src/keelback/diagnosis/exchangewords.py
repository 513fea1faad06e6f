"""An attempt at trusted publishing in words, without anything secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.channels.exchange import Standing
from keelback.credentials.oidc.trusted import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.diagnosis.exchanging import Attempt

_STANDINGS: Final = {
    Standing.KNOWN: "may have it: it is known to take identities",
    Standing.NAMED: "may have it: it is named in --trusted-publishing-host",
    Standing.NOT_NAMED: "gets none: it is not known to take identities, and not named in --trusted-publishing-host",
    Standing.PLAIN_HTTP: "gets none over plain HTTP, where anyone on the way can read it",
    Standing.NO_EXCHANGE: "gets none: keelback knows of no exchange of identities there",
    Standing.UNKNOWN_KIND: "gets none: which kind of server it is cannot be told from the URL",
}


def lines(attempt: Attempt) -> Iterator[str]:
    """What a person is told of *attempt*: who offers an identity, who may have it, what it says, what came of it."""
    if attempt.trusted.mode is Mode.NEVER:
        yield "no identity is asked for (--trusted-publishing never)"
        return
    yield f"identity: {_offer(attempt)}"
    yield f"server: {attempt.host} {_STANDINGS[attempt.standing]}"
    if attempt.standing.permits:
        yield f"audience: {attempt.audience}"
    if attempt.identity is not None:
        yield "the identity says:"
        yield from (f"  {claim}" for claim in attempt.identity.shown())
    yield from _outcome(attempt)


def _offer(attempt: Attempt) -> str:
    if attempt.offered_by is None:
        return "no CI system that keelback knows offers one here"
    return f"{attempt.offered_by} gives none" if attempt.lacks_identity else f"from {attempt.offered_by}"


def _outcome(attempt: Attempt) -> Iterator[str]:
    if attempt.token:
        ends = "it does not say when it expires" if attempt.expires_in is None else f"expires in {attempt.expires_in} s"
        yield f"exchange: {attempt.host} gave a token ({ends})"
    elif attempt.problem is not None:
        yield f"exchange: failed: {attempt.problem.message}"
    elif attempt.preceded_by:
        yield f"exchange: not tried, because {attempt.preceded_by} takes precedence"
    if attempt.problem is not None and attempt.problem.hint:
        yield f"  hint: {attempt.problem.hint}"
    if attempt.refused and attempt.publisher:
        yield f"the trusted publisher that {attempt.host} has to know for it:"
        yield from (f"  {each.name}: {each.value or 'none'} (by the claim {each.claim})" for each in attempt.publisher)
    if attempt.identity is not None and attempt.identity.is_only_one and (attempt.token or attempt.refused):
        yield "no other identity can be had here, and a server may take it once: publish in another job"
    if attempt.precedes:
        yield f"the token takes precedence over {attempt.precedes}"
