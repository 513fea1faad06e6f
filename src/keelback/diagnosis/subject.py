"""What somebody wants to know the credential of: a channel, a host, a bucket, a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from keelback.channels.buckets.keycheck import bucket_channel
from keelback.channels.identity import service_of
from keelback.channels.registry import recognise, target_of
from keelback.credentials.kinds import CondaToken, check_token
from keelback.errors import UsageError
from keelback.hosts import host_of, scheme_and_authority, split_url
from keelback.secret import Secret, redact

if TYPE_CHECKING:
    from keelback.channels.base import Channel
    from keelback.channels.service import Service
    from keelback.channels.target import Target

_TOKEN_IN_PATH: Final = re.compile(
    r"(?P<origin>https?://[^/?#]*)/t/(?P<token>[^/?#]*)(?P<rest>[/?#].*)?", re.IGNORECASE
)


class SubjectKind(StrEnum):
    """What can be asked there."""

    CHANNEL = "channel"
    HOST = "host"
    BUCKET = "bucket"
    FOLDER = "folder"


@dataclass(frozen=True)
class Subject:
    """What somebody wrote, understood.

    Attributes:
        sort: what it is.
        url: the URL from which it is read, without anything secret; for a host, its ``https`` URL.
        asked: the URL for which credentials are looked up; it may have a name and a password in it.
        service: the kind of server, where it is known.
        named: what the server is asked by; it may have a kind before its scheme.
        channel: the channel, where it is of a known kind; the one in the bucket.
        token: the token that stands in the URL itself.
    """

    sort: SubjectKind
    url: str
    asked: str
    service: type[Service] | None = None
    named: str = ""
    channel: Channel | None = None
    token: CondaToken | None = None


def understood(text: str) -> Subject:
    """What *text* names: a URL, also with a kind before it; a host, with a path or without; a folder.

    What looks like a host is one, also where a folder has that name: ``./prefix.dev`` is the folder.

    Raises:
        UsageError: it names none.
    """
    if "://" not in text:
        if _is_folder(text):
            return _folder(text)
        host_alone = "/" not in text
        text = f"https://{text}"
        if host_alone:
            return _host(text)
    _remember_userinfo(text)
    bucket = bucket_channel(text)
    if bucket is not None:
        return Subject(SubjectKind.BUCKET, bucket.url, bucket.url, type(bucket), text, bucket)
    if (match := _TOKEN_IN_PATH.fullmatch(text)) is not None:
        token = check_token(Secret(unquote(match["token"])), "the URL itself")
        return _web_subject(match["origin"] + (match["rest"] or ""), CondaToken(token))
    return _web_subject(text, None)


def _is_folder(text: str) -> bool:
    if not text or text.startswith((".", "/", "~")) or not host_of(f"https://{text}"):
        return True
    return "." not in text.partition("/")[0] and Path(text).is_dir()


def _folder(text: str) -> Subject:
    target = target_of(text)
    if target.folder is None:
        raise UsageError(f"{redact(text)!r} is neither a URL nor a folder", hint="Write it like https://HOST/CHANNEL.")
    return Subject(SubjectKind.FOLDER, str(target.folder), "")


def _host(url: str) -> Subject:
    plain = _without_userinfo(url)
    return Subject(SubjectKind.HOST, target_of(plain).base(), url, service_of(plain), plain)


def _web_subject(text: str, token: CondaToken | None) -> Subject:
    plain = _without_userinfo(text)
    target = target_of(plain)
    if target.folder is not None:
        return _folder(plain)
    service = service_of(plain)
    channel = None if _is_bare(target, service) else recognise(target)
    if not target.segments and service is not None and channel is None:
        url = target.base()
        return Subject(SubjectKind.HOST, url, _with_userinfo_of(text, url), service, plain, token=token)
    url = target.base(len(target.segments)) if channel is None else channel.reading_url
    return Subject(SubjectKind.CHANNEL, url, _with_userinfo_of(text, url), service, plain, channel, token)


def _is_bare(target: Target, service: type[Service] | None) -> bool:
    """Whether *target* is a server of a known kind, and none of its channels: few kinds have one at their root.

    Raises:
        UsageError: it is neither, as ``cloudsmith://OWNER`` is.
    """
    if target.segments or service is None:
        return False
    try:
        return recognise(target) is None
    except UsageError:
        is_host = "." in target.host or target.host == "localhost" or target.base() in target.text
        if not is_host:
            raise
        return True


def _remember_userinfo(text: str) -> None:
    for part in scheme_and_authority(_without_kind(text))[1].rpartition("@")[0].split(":"):
        Secret(unquote(part))


def _without_userinfo(text: str) -> str:
    authority = scheme_and_authority(_without_kind(text))[1]
    return text.replace(authority, authority.rpartition("@")[2], 1) if "@" in authority else text


def _with_userinfo_of(text: str, url: str) -> str:
    """*url* with the name and password of *text*, if they are for its host."""
    userinfo, at, _ = scheme_and_authority(_without_kind(text))[1].rpartition("@")
    if not at or host_of(_without_kind(text)) != host_of(url):
        return url
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{userinfo}@{rest}"


def _without_kind(text: str) -> str:
    scheme, rest = split_url(text)
    return f"{scheme.rpartition('+')[2]}:{rest}"
