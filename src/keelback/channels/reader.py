"""A channel as it is read: where its subdirs are, and which credential goes with each request."""

from __future__ import annotations

import logging
import re
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import httpx2

from keelback.archive import SUBDIRS
from keelback.channels.access import Access, exchanged_access, given_pair
from keelback.channels.answers import error_of
from keelback.channels.bucketurls import bucket_form
from keelback.channels.challenges import offered_schemes
from keelback.channels.exchange import not_exchanged
from keelback.channels.memo import Memo
from keelback.channels.registry import recognise, target_of
from keelback.channels.session import Session
from keelback.credentials.keys import service_keys
from keelback.credentials.kinds import BasicHTTP, BearerToken, OAuth, check_token
from keelback.credentials.lookup import depends_on_keychain, find, login_name
from keelback.errors import (
    CredentialError,
    CredentialRefused,
    ExchangeError,
    Forbidden,
    IdentityError,
    KeelbackError,
    ServerError,
    TransportError,
    UsageError,
)
from keelback.hosts import host_of, split_url
from keelback.secret import redact
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.channels.base import Channel
    from keelback.channels.exchange import Exchange
    from keelback.channels.target import Target
    from keelback.credentials.lookup import Match
    from keelback.transport import Answer

    _Origin = tuple[str, str, int | None]

_log = logging.getLogger("keelback.credentials")

REFUSED: Final = frozenset({401, 403})
"""How servers answer who may not read something."""

_SCHEMES: Final = {BasicHTTP: "basic", BearerToken: "bearer", OAuth: "bearer"}
"""What each kind of credential is sent as (RFC 9110, section 11)."""

_NOT_YET: Final = frozenset({"oci"})
"""Schemes under which other tools read channels."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


class Reader:
    """Reads one channel over HTTP, or from a folder.

    Each URL gets the credential of its own host (rattler_networking, authentication_middleware.rs), so that packages
    and shards may be elsewhere than the index. What was given with the command goes to the channel's own origin only.

    Where the credential depends on the system's keychain, which may keep a person waiting, requests go without one
    until :meth:`look_further`. So does trusted publishing: of a channel that everybody may read, no identity is asked
    for. Stores are asked for each request: what they have may end during a run.

    Args:
        url: under which the channel's subdirs are: ``http``, ``https`` or ``file``.
        session: sends the requests, and has the stores.
        given: the credential that takes precedence over those in the stores.
        exchange: how the server exchanges identities of CI systems, where it does.
        advice: what else to do where the channel wants a credential and there is none, as a clause.
        name: the channel's own URL, where that is another: ``s3://bucket/channel``.

    Attributes:
        url, name: see above; without a slash at the end.
    """

    def __init__(
        self,
        url: str,
        session: Session,
        given: Access | None = None,
        *,
        exchange: Exchange | None = None,
        advice: str = "",
        name: str = "",
    ) -> None:
        self.url = url.rstrip("/")
        self.name = name or self.url
        self.client = session.client
        self._session = session
        self._given = given
        self._exchange = exchange
        self._advice = advice
        self._asked: set[_Origin] = set()
        self._refused = ""
        self._allowed: Memo[bool] = Memo()
        self._lock = threading.Lock()

    @property
    def is_folder(self) -> bool:
        """Whether the channel is in a folder."""
        return self.url.startswith("file:")

    def has(self, url: str) -> bool:
        """Whether *url* is below the channel's."""
        return url.startswith((f"{self.url}/", f"{self.name}/"))

    def place(self, url: str) -> str:
        """Where *url* is read, which may have the channel's own name in it."""
        return self.url + url[len(self.name) :] if url.startswith(f"{self.name}/") else url

    def named(self, url: str) -> str:
        """*url* as everybody calls it, wherever it is read."""
        return self.name + url[len(self.url) :] if url.startswith(f"{self.url}/") else url

    def access(self, url: str) -> Access | None:
        """The credential for *url*, and where it came from; ``None`` where there is none, or only the keychain knows.

        Raises:
            CredentialError: there is one, and it cannot be used.
        """
        if self._given is not None and _origin(url) == _origin(self.url):
            return self._given
        match = self._match(url)
        if match is None or not isinstance(match.credential, httpx2.Auth):  # S3 keys are nothing for a web server
            return None
        scope = f"/{match.key.partition('/')[2]}" if match.store.is_path_scoped else "/"
        return Access(match.credential, f"key {match.key!r} of {match.store.name}", scope)

    def request(self, url: str, headers: Mapping[str, str] | None = None) -> Request:
        """A ``GET`` of *url*, which may have the channel's own name in it, with its credential."""
        url = self.place(url)
        access = self.access(url)
        if access is None or not isinstance(access.credential, httpx2.Auth):
            return Request("GET", url, headers=headers or {})
        return Request("GET", url, auth=access.credential, headers=headers or {}, scope=access.scope)

    def look_further(self, url: str) -> bool:
        """Whether there is a credential for *url*, by trusted publishing or by the keychain; later requests get it.

        For a request that went without one, and was refused. Of several at once, one asks, and all are told.
        """
        url = self.place(url)
        with self._lock:
            self._try_exchange(url)
            self._asked.add(_origin(url))
        return self.access(url) is not None

    def _try_exchange(self, url: str) -> None:
        """Exchange the identity of the CI system, where one is offered for the channel's own server; once."""
        if self._exchange is None or self._given is not None or _origin(url) != _origin(self.url):
            return
        exchange, self._exchange = self._exchange, None
        try:
            self._given = exchanged_access(self._session, exchange)
        except (IdentityError, ExchangeError, TransportError) as error:
            self._advice = f"trusted publishing failed: {error}"
            _log.warning("%s", self._advice)

    def lets_read(self, url: str, try_it: Callable[[], bool]) -> bool:
        """Whether *url* can be read with the credential that there is for it now, as *try_it* finds out, once."""
        access = self.access(url)
        return self._allowed.get((url, None if access is None else access.source), try_it)

    def may_know_more(self, url: str) -> bool:
        """Whether *url* is read without a credential, and the keychain, which was not asked, may have one."""
        return self._is_left_alone(url) and self.access(url) is None

    def refused(self, url: str) -> None:
        """Remember that *url* cannot be read without a credential, if that is how it was read."""
        if self.access(url) is None:
            self._refused = url

    def look_again(self) -> bool:
        """Whether the channel was refused without a credential, and :meth:`look_further` finds something for it."""
        url, self._refused = self._refused, ""
        if not url or not (self._is_left_alone(url) or self._exchange is not None):
            return False
        return self.look_further(url) or self._match(url) is not None

    def error(self, answer: Answer, url: str) -> KeelbackError:
        """What *answer*, which is no success, means for whoever wants to read *url*."""
        url = self.place(url)
        if answer.status not in REFUSED:
            return error_of(answer)
        if _origin(answer.url) != _origin(url):
            return ServerError(
                f"{host_of(url)} redirected to {host_of(answer.url)}, which refused to let it be read "
                f"({answer.status}); no credential is sent where a redirect leads",
                status=answer.status,
                hint="Try again, or use the URL to which the channel has moved.",
            )
        access = self.access(url)
        if access is None:
            self.refused(url)
            return self._wants_credential(answer, url)
        kind, host = access.credential.kind, host_of(url)
        if answer.status == 401:
            return CredentialRefused(
                f"{host} refused the {kind} from {access.source} (401{_other_schemes(answer, access)})",
                hint=self._what_to_check(access),
            )
        return Forbidden(
            f"{host} knows the {kind} from {access.source}, and does not let it read {self._shown(url)} (403)",
            hint=self._as_a_bucket() or "Ask the owner of the channel for the permission to read it.",
        )

    def _as_a_bucket(self) -> str:
        """What to do where the channel's URL is that of a bucket, whose credentials no web server takes."""
        with suppress(UsageError):  # archives may be at places that are no channel
            target = target_of(self.url)
            form = bucket_form(target.host, target.segments) if self.name == self.url else None
            return "" if form is None else f"{form.hint} That is read with the credentials of its cloud."
        return ""

    def _what_to_check(self, access: Access) -> str:
        if access is not self._given:
            return f"It may have expired, or belong to another server; see: keelback auth check {redact(self.name)}."
        undo = "unset it" if access.source.startswith("the variable ") else "leave it out"
        return f"Check the value of {access.source}, or {undo} to use what is stored."

    def _wants_credential(self, answer: Answer, url: str) -> KeelbackError:
        host, place = host_of(url), self._shown(url)
        if answer.status == 401:
            message = f"{host} wants a credential (401{_other_schemes(answer)}) to read {place}"
        else:
            message = f"{host} refuses to let an anonymous user read {place} (403)"
        match = self._match(url)
        if match is not None:
            message += f"; the {match.credential.kind} under key {match.key!r} of {match.store.name} "
            message += "are not sent to a web server"
        elif answer.status == 401:
            message += ", and there is none for it"
        if self._is_below(url) and (hint := self._as_a_bucket()):
            return CredentialError(message, hint=hint)
        login = service_keys(url) or [self._shown(url) if self._is_below(url) else login_name(url)]
        advice = self._advice or f"keelback auth check {redact(self.name)} shows where it was looked"
        return CredentialError(message, hint=f"Log in with: keelback auth login {login[0]}; {advice}.")

    def _shown(self, url: str) -> str:
        """What *url* belongs to, for a person: the channel, unless it is elsewhere."""
        return redact(self.name if self._is_below(url) else url)

    def _is_below(self, url: str) -> bool:
        return url.startswith(f"{self.url}/")

    def _is_left_alone(self, url: str) -> bool:
        """Whether the keychain would be asked for *url*, and is not yet."""
        return _origin(url) not in self._asked and depends_on_keychain(url, self._session.stores)

    def _match(self, url: str) -> Match | None:
        return None if self._is_left_alone(url) else find(url, self._session.stores)


def reader_for(channel: str, session: Session) -> Reader:
    """How *channel*, written as for ``publish`` or as any URL under which conda reads a channel, is read.

    Raises:
        UsageError: it is no such URL, or a credential was given that is nothing for it.
        CredentialError: the credential that was given cannot be one.
    """
    _refuse_unreadable(channel)
    target = target_of(channel)
    if target.folder is not None:
        folder = target.folder.absolute()
        if not folder.is_dir():
            raise _no_folder(channel)
        _refuse_given(session, channel)
        return Reader(folder.as_uri(), session)
    if target.segments and target.segments[-1] in SUBDIRS:
        raise UsageError(
            f"{redact(channel)} is a subdir of a channel",
            hint=f"Leave out /{target.segments[-1]}: a channel is named without its subdir.",
        )
    known = recognise(target)
    return _reader(target.base(len(target.segments)) if known is None else known.reading_url, known, target, session)


def reader_at(base: str, session: Session) -> Reader:
    """How archives below *base*, the channel's URL as their own have it, are read; raises as :func:`reader_for`."""
    if base.startswith("file:"):
        _refuse_given(session, base)
        return Reader(base, session)
    try:
        target = target_of(base)
        known = recognise(target)
    except UsageError:  # archives may be at places that are no channel
        return Reader(base, session, _given(session))
    return _reader(base, known, target, session)


def _reader(url: str, known: Channel | None, target: Target, session: Session) -> Reader:
    """The reader of what is at *url*, with the credential for *known*, the channel that *target* names."""
    if known is not None and (found := known.readable(session)) is not None:
        place, access = found
        return Reader(place, session, access, name=known.url)
    exchange = None if known is None else known.exchange(session)
    if session.trusted.insists:
        access = exchanged_access(session, exchange)
        if access is None:
            raise not_exchanged(session, url, exchange)
        return Reader(url, session, access)
    if known is None:
        return Reader(url, session, _given(session))
    given, advice = given_for_reading(known, target, session)
    return Reader(url, session, given, exchange=exchange, advice=advice)


def given_for_reading(known: Channel, target: Target, session: Session) -> tuple[Access | None, str]:
    """The credential given for *known*, by the command or by variables; and what to do about those that do not count.

    A URL that only looks like one of a kind of server, which anybody may run, gets no variable of that kind.
    """
    if target.kind is not None or service_keys(known.reading_url):
        return known.given_access(session), ""
    without = Session(session.client, lambda: session.stores, session.given, environ={})
    unused = [name for name in known.variables if session.environ.get(name)]
    advice = (
        f"{' and '.join(unused)} {'is' if len(unused) == 1 else 'are'} set, and counts for reading only where the URL "
        f"names the kind of server: {known.kind}+{target.base(len(target.segments))}"
    )
    return known.given_access(without), advice if unused else ""


def _refuse_given(session: Session, channel: str) -> None:
    if session.given:
        raise UsageError(f"{channel} takes no credential", hint="Leave it out.")


def _refuse_unreadable(channel: str) -> None:
    scheme = split_url(channel)[0]
    if scheme in _NOT_YET:
        raise UsageError(
            f"keelback cannot read {scheme}:// channels yet", hint="Use a folder, or a channel at an https:// URL."
        )


def _no_folder(channel: str) -> UsageError:
    hint = "Check the path; a channel on a server is named by its URL, which begins with https://."
    if _NAME.fullmatch(channel):
        hint = f"A channel on a server is named by its URL: https://conda.anaconda.org/{channel}."
    return UsageError(f"there is no folder {channel!r}", hint=hint)


def _given(session: Session) -> Access | None:
    """The credential given for a server of no known kind: a pair, or a token to be sent as ``Bearer``."""
    given = session.given
    if given.username is not None or given.password is not None:
        return given_pair(given.username, given.password, given.source)
    if given.api_key is None:
        return None
    return Access(BearerToken(check_token(given.api_key, given.source)), given.source)


def _other_schemes(answer: Answer, access: Access | None = None) -> str:
    """Which schemes the server says that it takes, where it does and they are not what it got."""
    sent = "" if access is None else _SCHEMES.get(type(access.credential), "")
    schemes = [
        scheme for scheme in ("Basic", "Bearer") if scheme.lower() in map(str.lower, offered_schemes(answer.headers))
    ]
    if not schemes or sent in map(str.lower, schemes):
        return ""
    return f"; it takes {' or '.join(schemes)}"


def _origin(url: str) -> _Origin:
    parts = httpx2.URL(url)
    return parts.scheme, parts.host, parts.port
