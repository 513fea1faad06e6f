"""What it means that a server refuses to let a channel be read, and what a person can do."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.channels.bucketurls import bucket_form
from keelback.channels.challenges import offered_schemes
from keelback.channels.registry import target_of
from keelback.credentials.keys import service_keys
from keelback.credentials.kinds import BasicHTTP, BearerToken, OAuth
from keelback.credentials.lookup import login_name
from keelback.errors import CredentialError, CredentialRefused, Forbidden, ServerError, UsageError
from keelback.hosts import host_of
from keelback.secret import redact

if TYPE_CHECKING:
    from keelback.channels.access import Access
    from keelback.credentials.lookup import Match
    from keelback.errors import KeelbackError
    from keelback.transport import Answer

_SCHEMES: Final = {BasicHTTP: "basic", BearerToken: "bearer", OAuth: "bearer"}
"""What each kind of credential is sent as (RFC 9110, section 11)."""


@dataclass(frozen=True, slots=True)
class ReadRefusal:
    """An answer of 401 or 403 to a request for something of a channel, or for an archive that is elsewhere.

    Attributes:
        answer: what the server said.
        url: what was asked for.
        base: the URL under which the channel is read.
        channel: the channel's own URL.
    """

    answer: Answer
    url: str
    base: str
    channel: str

    def after_redirect(self) -> ServerError:
        """The error where the server that refuses is not the one that was asked."""
        return ServerError(
            f"{self._host} redirected to {host_of(self.answer.url)}, which refused to let it be read "
            f"({self.answer.status}); no credential is sent where a redirect leads",
            status=self.answer.status,
            hint="Try again, or use the URL to which the channel has moved.",
        )

    def of(self, access: Access, *, is_given: bool) -> KeelbackError:
        """The error where *access* was sent, which *is_given* with the command or by a variable, or stored."""
        noun = access.credential.noun
        if self.answer.status == 401:
            sent = _SCHEMES.get(type(access.credential), "")
            return CredentialRefused(
                f"{self._host} refused the {noun} from {access.source} (401{self._other_schemes(sent)})",
                hint=self._what_to_check(access.source, is_given=is_given),
            )
        return Forbidden(
            f"{self._host} knows the {noun} from {access.source}, and does not let it read {self._shown} (403)",
            hint=self._bucket_hint() or "Ask the owner of the channel for the permission to read it.",
        )

    def without_credential(self, match: Match | None, advice: str, how_to_log_in: str = "") -> CredentialError:
        """The error where no credential was sent.

        Args:
            match: what the stores have for the URL, if that is of a kind that no web server takes.
            advice: what else to do, as a clause; empty for the usual advice.
            how_to_log_in: how to give the channel a credential, as sentences; empty for a login for its host.
        """
        if self.answer.status == 401:
            message = f"{self._host} wants a credential (401{self._other_schemes()}) to read {self._shown}"
        else:
            message = f"{self._host} refuses to let an anonymous user read {self._shown} (403)"
        if match is not None:
            message += f"; the {match.credential.noun} under {match.source} are not sent to a web server"
        elif self.answer.status == 401:
            message += ", and there is none for it"
        if self._is_below and (hint := self._bucket_hint()):
            return CredentialError(message, hint=hint)
        look = f"keelback auth check {redact(self.channel)}"
        if self._is_below and how_to_log_in:
            return CredentialError(message, hint=f"{how_to_log_in} To see where it was looked: {look}.")
        login = service_keys(self.url) or [self._shown if self._is_below else login_name(self.url)]
        advice = advice or f"{look} shows where it was looked"
        return CredentialError(message, hint=f"Log in with: keelback auth login {login[0]}; {advice}.")

    def _what_to_check(self, source: str, *, is_given: bool) -> str:
        if not is_given:
            return f"It may have expired, or belong to another server; see: keelback auth check {redact(self.channel)}."
        undo = "unset it" if source.startswith("the variable ") else "leave it out"
        return f"Check the value of {source}, or {undo} to use what is stored."

    def _bucket_hint(self) -> str:
        """What to do where the channel's URL is that of a bucket, whose credentials no web server takes."""
        with suppress(UsageError):  # archives may be at places that are no channel
            target = target_of(self.base)
            form = bucket_form(target.host, target.segments) if self.channel == self.base else None
            return "" if form is None else f"{form.hint} That is read with the credentials of its cloud."
        return ""

    def _other_schemes(self, sent: str = "") -> str:
        """Which schemes the server says that it takes, where it does and *sent* is none of them."""
        offered = {scheme.lower() for scheme in offered_schemes(self.answer.headers)}
        schemes = [scheme for scheme in ("Basic", "Bearer") if scheme.lower() in offered]
        if not schemes or sent in map(str.lower, schemes):
            return ""
        return f"; it takes {' or '.join(schemes)}"

    @property
    def _host(self) -> str:
        return host_of(self.url)

    @property
    def _is_below(self) -> bool:
        return self.url.startswith(f"{self.base}/")

    @property
    def _shown(self) -> str:
        """What the URL belongs to, for a person: the channel, unless it is elsewhere."""
        return redact(self.channel if self._is_below else self.url)
