"""How a channel that a person names is opened for reading."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.archive import SUBDIRS
from keelback.channels.access import Access, exchanged_access, given_login
from keelback.channels.exchange import not_exchanged
from keelback.channels.reader import Reader
from keelback.channels.registry import recognise, target_of
from keelback.channels.session import Session
from keelback.credentials.keys import service_keys
from keelback.errors import UsageError
from keelback.hosts import split_url
from keelback.secret import redact

if TYPE_CHECKING:
    from keelback.channels.base import Channel
    from keelback.channels.target import Target

_NOT_YET: Final = frozenset({"oci"})
"""Schemes under which other tools read channels."""
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def reader_for(channel: str, session: Session) -> Reader:
    """How *channel*, written as for ``publish`` or as any URL under which conda reads a channel, is read.

    Raises:
        UsageError: it is no such URL, or it does not take the credential that was given.
        CredentialError: the credential that was given is malformed.
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
    """How archives below *base*, a URL from a lock file, are read; raises as :func:`reader_for`."""
    if base.startswith("file:"):
        _refuse_given(session, base)
        return Reader(base, session)
    try:
        target = target_of(base)
        known = recognise(target)
    except UsageError:  # archives may be at places that are no channel
        return Reader(base, session, given_login(session.given))
    return _reader(base, known, target, session)


def _reader(url: str, known: Channel | None, target: Target, session: Session) -> Reader:
    """The reader of what is at *url*, with the credential for *known*, the channel that *target* names."""
    if known is not None and (found := known.reading_access(session)) is not None:
        place, access = found
        return Reader(place, session, access, name=known.url, how_to_log_in=_how_to_log_in(known))
    exchange = None if known is None else known.exchange(session)
    if session.trusted.insists:
        access = exchanged_access(session, exchange)
        if access is None:
            raise not_exchanged(session, url, exchange)
        return Reader(url, session, access)
    if known is None:
        return Reader(url, session, given_login(session.given))
    given, advice = given_for_reading(known, target, session)
    return Reader(url, session, given, exchange=exchange, advice=advice)


def _how_to_log_in(channel: Channel) -> str:
    """How to give a credential for *channel*, as sentences; empty where a login for its host does."""
    if not channel.bucket_options:
        return ""
    from keelback.channels.buckets.keycheck import CheckedBucketChannel  # noqa: PLC0415 - for those who have one

    return channel.how_to_log_in if isinstance(channel, CheckedBucketChannel) else ""


def given_for_reading(known: Channel, target: Target, session: Session) -> tuple[Access | None, str]:
    """The credential given for *known*, by the command or by variables, and advice on variables that do not count.

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
    if channel.endswith((".conda", ".tar.bz2")) and Path(channel).is_file():
        return UsageError(
            f"{channel!r} is a package, and in no channel",
            hint=f"To publish it: keelback publish --to CHANNEL {channel}",
        )
    hint = "Check the path; a channel on a server is named by its URL, which begins with https://."
    if _NAME.fullmatch(channel):
        hint = f"A channel on a server is named by its URL: https://conda.anaconda.org/{channel}."
    return UsageError(f"there is no folder {channel!r}", hint=hint)
