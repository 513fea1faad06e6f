"""Which kind of channel a destination is."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Final

from keelback.channels.bucketurls import bucket_form
from keelback.channels.plugins import Plugins
from keelback.channels.target import (
    ALIASES,
    NoHostError,
    UnknownSchemeError,
    parse_target,
    refuse_bare_name,
    refuse_part,
)
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
    "cloudsmith": "keelback.channels.cloudsmith:CloudsmithChannel",
    "s3": "keelback.channels.buckets.s3channel:S3Channel",
    "gs": "keelback.channels.buckets.gcschannel:GCSChannel",
    "az": "keelback.channels.buckets.azurechannel:AzureChannel",
    "put": "keelback.channels.put:PutChannel",
}
"""Every kind that a URL can name, in the order in which they are asked whether a URL is theirs."""

_S3_SERVICES: Final = frozenset({"b2", "ceph", "garage", "minio", "oss", "r2", "spaces", "tigris", "wasabi"})
"""Schemes that people write for services with the S3 protocol."""

_PLUGINS: Final = Plugins(frozenset({*KINDS, *ALIASES}))


def channel_class(kind: str) -> type[Channel]:
    """The class of the channels of *kind*, a key of :data:`KINDS`."""
    module, _, name = KINDS[kind].partition(":")
    found: type[Channel] = getattr(import_module(module), name)
    return found


def services() -> Iterator[type[Service]]:
    """Every kind of server that there are credentials for; those of other distributions come last."""
    yield from (found for kind in KINDS if (found := channel_class(kind)).takes_credential)
    yield from (found for found in _PLUGINS.classes if found.takes_credential)


def channel_for(destination: str) -> Channel:
    """The channel that *destination* names: a folder, or a URL.

    Raises:
        UsageError: it names none, or it does not show which kind of server that is.
    """
    target = target_of(destination)
    form = bucket_form(target.host, target.segments) if target.kind is None else None
    if form is not None:
        raise UsageError(f"{redact(destination)} is in a bucket, which is not published to by that URL", hint=form.hint)
    refuse_bare_name(target)
    channel = recognise(target)
    if channel is not None:
        if channel.kind == "put":
            refuse_part(target)
        return channel
    raise UsageError(
        f"{redact(destination)}: which kind of server is {target.host}?",
        hint=f"Put its kind before the URL, as in quetz+{target.scheme}://{target.netloc}/...: {_kinds()}.",
    )


def _kinds() -> str:
    """The words that may stand before the URL of a server that is not known by its host."""
    others = [found.kind for found in _PLUGINS.classes]
    named = [kind for kind in KINDS if channel_class(kind).is_named_with_host]
    more = {"put": "put+ (WebDAV, Nexus)", "s3": "s3+ (MinIO and other S3 services)"}
    return ", ".join(more.get(kind, f"{kind}+") for kind in [*named, *others, "s3"])


def target_of(text: str) -> Target:
    """*text*, a folder or a URL, taken apart; raises ``UsageError`` as :func:`parse_target`."""
    try:
        target = _parsed(text)
    except UnknownSchemeError as error:
        error.hint = _known_shapes(error.kind)
        raise
    except NoHostError as error:
        shape = channel_class(ALIASES.get(error.kind, error.kind)).shape if error.kind in {*KINDS, *ALIASES} else ""
        if not shape:
            raise
        what = re.split(r"://|/", shape)[1].lower()
        raise UsageError(f"{redact(text)} names no {what}", hint=f"Write it like {shape}.") from None
    return replace(target, kind=ALIASES.get(target.kind, target.kind)) if target.kind else target


def _parsed(text: str) -> Target:
    kinds = frozenset({*KINDS, *ALIASES}) - {"local"}
    try:
        return parse_target(text, kinds)
    except UnknownSchemeError:
        others = _PLUGINS.kinds
        if not others:
            raise
        return parse_target(text, kinds.union(others))


def _known_shapes(kind: str) -> str:
    """How channels can be written, as the hint for an unknown *kind*."""
    if kind in _S3_SERVICES:
        return "Services with the S3 protocol are written s3+https://HOST/BUCKET/CHANNEL."
    classes = (channel_class(known) for known in KINDS if known != "local")
    shapes = [found.shape or f"{found.kind}+https://HOST/CHANNEL" for found in classes]
    shapes += [f"{own}+https://HOST/CHANNEL" for own in _PLUGINS.kinds]
    return f"Use a folder, a URL with https://, or one of {', '.join(shapes)}."


def recognise(target: Target) -> Channel | None:
    """The channel of a known kind that *target* names; ``None`` where *target* does not show its kind.

    Raises:
        UsageError: it is of a known kind, and names no channel; or what another distribution has for it is broken.
    """
    if target.kind is not None and target.kind not in KINDS:
        return _PLUGINS.channel_of_kind(target.kind, target)
    found = (channel_class(kind).from_target(target) for kind in ([target.kind] if target.kind else KINDS))
    own = next((channel for channel in found if channel is not None), None)
    return own if own is not None or target.kind else _PLUGINS.channel_at(target)
