"""Which kind of channel a destination is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from keelback.channels.target import parse_target
from keelback.errors import UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.channels.base import Channel
    from keelback.channels.service import Service
    from keelback.channels.target import Target

KINDS: Final = {
    "local": "keelback.channels.local:LocalChannel",
    "prefix": "keelback.channels.prefix:PrefixChannel",
    "anaconda": "keelback.channels.anaconda:AnacondaChannel",
    "quetz": "keelback.channels.quetz:QuetzChannel",
    "artifactory": "keelback.channels.artifactory:ArtifactoryChannel",
}
"""Every kind of channel, in the order in which they are asked whether a URL is theirs."""

_OTHER_SERVICES: Final = {"s3": "keelback.channels.objectstore:ObjectStore"}
"""Kinds of server that credentials are for, and no channels here."""


def channel_class(kind: str) -> type[Channel]:
    """The class of the channels of *kind*, a key of :data:`KINDS`."""
    found: type[Channel] = _loaded(KINDS[kind])
    return found


def services() -> Iterator[type[Service]]:
    """Every kind of server that there are credentials for."""
    yield from (found for kind in KINDS if (found := channel_class(kind)).takes_credential)
    yield from (_loaded(place) for place in _OTHER_SERVICES.values())


def _loaded(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def channel_for(destination: str) -> Channel:
    """The channel that *destination* names: a folder, or a URL.

    Raises:
        UsageError: it names none, or it cannot be told which kind of server that is.
    """
    target = target_of(destination)
    channel = recognise(target)
    if channel is not None:
        return channel
    examples = ", ".join(f"{kind}+{target.scheme}://{target.netloc}/..." for kind in KINDS if kind != "local")
    raise UsageError(
        f"{redact(destination)}: which kind of server is {target.host}?", hint=f"Say it in the URL: {examples}."
    )


def target_of(text: str) -> Target:
    """*text*, a folder or a URL, taken apart; raises ``UsageError`` as :func:`parse_target`."""
    return parse_target(text, frozenset(KINDS) - {"local"})


def recognise(target: Target) -> Channel | None:
    """The channel of a known kind that *target* names; ``None`` where it cannot be told of which kind it is."""
    found = (channel_class(kind).from_target(target) for kind in ([target.kind] if target.kind else KINDS))
    return next((channel for channel in found if channel is not None), None)
