"""A channel as a user writes it, taken apart: ``KIND+https://host/path``, ``https://host/path``, a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import url2pathname

from keelback.errors import UsageError
from keelback.hosts import host_of
from keelback.secret import redact

ALIASES: Final = {"gcs": "gs", "azure": "az"}
"""What other tools call some kinds, and what they are called here."""

_NAME: Final = re.compile(r"[A-Za-z0-9._~-]+")
_HOST: Final = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_HOST_AND_PATH: Final = re.compile(r"(?:[a-z0-9-]+\.)+(?:com|dev|io|net|org)(?::\d+)?/", re.IGNORECASE)
_AMBIGUOUS: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_PATH: Final = re.compile(r"[./\\~]|file:|[a-z]:", re.IGNORECASE)
"""How a folder begins that is written as one."""
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9.+-]+):")  # two letters at least: C:\channel is a folder


_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


class UnknownSchemeError(UsageError):
    """A URL with a scheme that is none of the known ones.

    Attributes:
        kind: the word in it that should be a kind of channel: ``r2`` of ``r2://`` and of ``r2+https://``.
    """

    def __init__(self, text: str, scheme: str) -> None:
        super().__init__(f"{redact(text)}: unknown scheme {scheme!r}", hint="Use a folder, or a URL with https://.")
        self.kind = scheme.partition("+")[0]


class NoHostError(UsageError):
    """A URL that names no host.

    Attributes:
        text: the URL.
        kind: the kind whose name stands in place of the protocol, as in ``s3://``; ``None`` for ``s3+https://``.
    """

    def __init__(self, text: str, kind: str | None) -> None:
        super().__init__(f"{redact(text)} names no host", hint="Write it like https://HOST/CHANNEL.")
        self.text = text
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Target:
    """A channel.

    Attributes:
        text: as it was written.
        kind: the kind that was named outright (``quetz+https://``, ``quetz://``), or ``None``.
        scheme: ``https``, ``http`` or ``file``.
        host: as WHATWG normalises it, without port; empty for a folder.
        netloc: host and port.
        segments: the path's, decoded; each is a legal name.
        folder: for ``file``, the folder.
    """

    text: str
    kind: str | None
    scheme: str
    host: str = ""
    netloc: str = ""
    segments: tuple[str, ...] = ()
    folder: Path | None = None

    def base(self, count: int = 0) -> str:
        """The URL of the server, with the first *count* segments of the path."""
        return "/".join([f"{self.scheme}://{self.netloc}", *self.segments[:count]])


def parse_target(text: str, kinds: frozenset[str]) -> Target:
    """Take *text* apart.

    Args:
        text: what the user wrote.
        kinds: the words that may stand before ``+https://`` or ``://``.

    Raises:
        UnknownSchemeError: another word stands there.
        NoHostError: no host.
        UsageError: a user name or password in it, or a name that no channel can have.
    """
    if not text.strip():
        raise UsageError("the channel is empty", hint="Name a folder or the URL of a channel.")
    scheme = _SCHEME.match(text)
    if scheme is None or _HOST_AND_PATH.match(text):  # HOST:PORT/ is no scheme
        _refuse_host_without_scheme(text)
        return Target(text, None, "file", folder=_expanded(text))
    if _AMBIGUOUS.search(text):  # parsers differ in what they make of these, and so in who is spoken to
        raise UsageError(f"{redact(text)!r} has a line break, a backslash or another control character in it")
    kind, protocol = _kind_and_protocol(text, scheme[1].lower(), kinds)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{redact(text)} is not a valid URL: {error}") from error
    if protocol == "file":
        return _folder(text, parts.netloc, parts.path)
    _refuse_secrets(text, parts)
    host = host_of(f"{protocol}://{parts.netloc}")
    if "%" in parts.netloc or not _HOST.fullmatch(host):
        raise NoHostError(text, None if "+" in scheme[1] else kind)
    segments = tuple(unquote(segment) for segment in parts.path.split("/") if segment)
    for segment in segments:
        check_name(segment, "the path of the channel")
    netloc = host if port in (None, _DEFAULT_PORTS[protocol]) else f"{host}:{port}"
    return Target(text, kind, protocol, host, netloc, segments)


def _refuse_secrets(text: str, parts: SplitResult) -> None:
    """Refuse a secret in the URL of a channel, which ends up in logs and reports."""
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"{redact(text)} has a user name or password in it, where it ends up in logs",
            hint="Leave them out, and store them: keelback auth login "
            f"{parts.netloc.rpartition('@')[2]} --username NAME.",
        )
    if parts.query or parts.fragment:
        raise UsageError(f"{redact(text)} has a query or a fragment; a channel's URL has neither")
    if "t" in [unquote(segment) for segment in parts.path.split("/")[:-1]]:
        raise UsageError(
            f"the channel at {parts.netloc} has a token in its path, where it ends up in logs",
            hint=f"Leave /t/TOKEN out, and store the token: keelback auth login {parts.netloc} --conda-token -.",
        )


def check_name(name: str, what: str) -> str:
    """*name*, if that can be the name of a channel, an owner, a label or a repository.

    Raises:
        UsageError: it is empty, is ``.`` or ``..``, or has other characters than letters, digits and ``._~-``.
    """
    if "://" in name:
        raise UsageError(f"{what} is a name, not a URL: {redact(name)!r}", hint="Give the server with --url.")
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise UsageError(
            f"{what}: {redact(name)!r} is not a valid name",
            hint="Use letters, digits, dot, underscore, tilde and dash.",
        )
    return name


def check_server(url: str, what: str = "--url") -> str:
    """*url* without a slash at its end, if it can be the address of a server.

    Raises:
        UsageError: another scheme than https or http, no host, or anything secret in it.
    """
    if not url.lower().startswith(("https://", "http://")):
        raise UsageError(f"{what}: {redact(url)!r} is not an http(s) URL", hint="Write it like https://HOST.")
    target = parse_target(url, frozenset())
    return target.base(len(target.segments))


def refuse_part(target: Target) -> None:
    """Refuse a *target* that is only part of a channel, where any path can be a channel.

    Raises:
        UsageError: it is a subdir of a channel, or an archive in one.
    """
    from keelback.archive import SUBDIRS  # noqa: PLC0415 - not for those who have the name of a channel only

    *before, last = ("", *target.segments)
    if last in SUBDIRS:
        raise UsageError(
            f"{redact(target.text)} is a subdir of a channel",
            hint=f"Leave out /{last}: a channel is named without its subdir.",
        )
    if last.endswith((".conda", ".tar.bz2")):
        extra = f"/{before[-1]}/{last}" if before[-1] in SUBDIRS else f"/{last}"
        raise UsageError(
            f"{redact(target.text)} is a package, and not a channel",
            hint=f"Leave out {extra}: what is published gets its name in the channel by itself.",
        )


def refuse_bare_name(target: Target) -> None:
    """See that a folder that is to be made is written as one.

    A word alone may be meant for something else: the name of a channel, a bucket, a spec in the wrong place.

    Raises:
        UsageError: it is a word alone, and there is no folder of that name.
    """
    written = target.text
    if target.folder is None or _PATH.match(written):
        return
    if not target.folder.is_absolute() and not target.folder.exists():
        raise UsageError(
            f"{redact(written)} is a folder that is not there",
            hint=f"Write ./{redact(written)} to make it; a channel of a server is written as its URL.",
        )


def _refuse_host_without_scheme(text: str) -> None:
    """No folder is made of ``prefix.dev/my-channel``: whoever writes that means the server."""
    if _HOST_AND_PATH.match(text) and not Path(text).exists():
        raise UsageError(
            f"{redact(text)} is a folder that is not there, and looks like a URL",
            hint=f"Write https://{redact(text)} for the server, or ./{redact(text)} for the folder.",
        )


def _kind_and_protocol(text: str, scheme: str, kinds: frozenset[str]) -> tuple[str | None, str]:
    kind, plus, protocol = scheme.rpartition("+")
    if scheme in ("https", "http", "file"):
        return None, scheme
    if plus and kind in kinds and protocol in ("https", "http"):
        return kind, protocol
    if scheme in kinds:
        return scheme, "https"
    raise UnknownSchemeError(text, scheme)


def _expanded(text: str) -> Path:
    if "\0" in text:
        raise UsageError("the name of a folder cannot have a NUL character in it")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text}: {error}") from error


def _folder(text: str, netloc: str, path: str) -> Target:
    if netloc not in ("", "localhost"):
        raise UsageError(f"{text} names a folder of another machine", hint="Write it like file:///folder.")
    return Target(text, None, "file", folder=Path(url2pathname(path)))


def as_written(place: str | Path) -> str:
    """*place* as a person would write it; a path is made absolute, which is never taken for a host."""
    return str(place.absolute()) if isinstance(place, Path) else place


def path_of(url: str) -> Path:
    """The path of what is at *url*, which is one with ``file:``."""
    return Path(url2pathname(urlsplit(url).path))
