"""Channels of other distributions: the entry points of the group ``keelback.channels``, each named as its kind is.

They are looked for only where a channel is none of keelback's own. One that is broken is an error where its kind is
named outright, and a warning where it is asked whether a URL is one of its own.
"""

from __future__ import annotations

import inspect
import logging
import re
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final

from keelback.errors import KeelbackError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from importlib.metadata import EntryPoint

    from keelback.channels.base import Channel
    from keelback.channels.target import Target

_log = logging.getLogger(__name__)

GROUP: Final = "keelback.channels"
_KIND: Final = re.compile(r"[a-z][a-z0-9.-]*")


class BrokenPluginError(UsageError):
    """A channel of another distribution that cannot be used."""

    code = "plugin"


class Plugins:
    """The kinds of channel that other distributions bring.

    Args:
        own: the kinds of keelback itself, which nobody else can have.
    """

    def __init__(self, own: Collection[str]) -> None:
        self._own = own

    @cached_property
    def kinds(self) -> Sequence[str]:
        """Their names, in order."""
        return [kind for kind in sorted(_entry_points()) if self._is_allowed(kind)]

    def load(self, kind: str) -> type[Channel]:
        """The class of the channels of *kind*, one of :attr:`kinds`.

        Raises:
            BrokenPluginError: it cannot be imported, or is no channel; or two distributions have one of that kind.
        """
        found = _entry_points()[kind]
        if len(found) > 1:
            both = " and ".join(sorted(map(_distribution, found)))
            raise BrokenPluginError(f"{both} both have channels of the kind {kind!r}", hint="Uninstall one of them.")
        return _load(found[0])

    @cached_property
    def classes(self) -> Sequence[type[Channel]]:
        """All of them that are not broken."""
        found = []
        for kind in self.kinds:
            try:
                found.append(self.load(kind))
            except BrokenPluginError as error:
                _log.warning("%s; it is left out", error)
        return found

    def channel_of_kind(self, kind: str, target: Target) -> Channel | None:
        """The channel of *kind* that *target* names, or ``None``; raises as :meth:`load`, and ``UsageError``."""
        return _channel(self.load(kind), target, _entry_points()[kind][0])

    def channel_at(self, target: Target) -> Channel | None:
        """The first channel that recognises *target*, which names no kind; raises what that raises."""
        for found in self.classes:
            try:
                channel = _channel(found, target, _entry_points()[found.kind][0])
            except BrokenPluginError as error:
                _log.warning("%s; it is left out", error)
            else:
                if channel is not None:
                    return channel
        return None

    def _is_allowed(self, kind: str) -> bool:
        if kind in self._own:
            why = "which are keelback's own"
        elif not _KIND.fullmatch(kind):
            why = "which no URL could name"
        else:
            return True
        for found in _entry_points()[kind]:
            _log.warning("%s has channels of the kind %r, %s: left out", _distribution(found), kind, why)
        return False


@cache
def _entry_points() -> Mapping[str, Sequence[EntryPoint]]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes long, and few runs need it

    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


@cache
def _load(entry: EntryPoint) -> type[Channel]:
    from keelback.channels.base import Channel  # noqa: PLC0415 - it brings in what names need not

    try:
        found = entry.load()
    except Exception as error:  # it is somebody else's code
        raise _broken(entry, f"cannot be loaded: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Channel)):
        raise _broken(entry, "is no subclass of keelback.Channel")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise _broken(entry, f"lacks {missing}")
    if getattr(found, "kind", None) != entry.name:
        raise _broken(entry, f"is of another kind, {getattr(found, 'kind', None)!r}")
    return found


def _channel(found: type[Channel], target: Target, entry: EntryPoint) -> Channel | None:
    from keelback.channels.base import Channel  # noqa: PLC0415 - see above

    try:
        channel = found.from_target(target)
    except KeelbackError:
        raise
    except Exception as error:
        raise _broken(entry, f"fails: {type(error).__name__}: {error}") from error
    if channel is not None and not isinstance(channel, Channel):
        raise _broken(entry, "makes something else than channels")
    return channel


def _distribution(entry: EntryPoint) -> str:
    return "an unknown distribution" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def _broken(entry: EntryPoint, what: str) -> BrokenPluginError:
    return BrokenPluginError(
        f"{_distribution(entry)}: its channel {entry.name!r} ({entry.value}) {what}",
        hint="Update that distribution, or uninstall it.",
    )
