"""Indexes of channels on disk: kept between runs, and confirmed by the server in each run.

An index goes from the connection to the disk, and from there unpacked to the disk: memory does not grow with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from keelback.credentials.locks import make_private_folder
from keelback.durable import rename
from keelback.errors import ChannelError
from keelback.listing import most_unpacked
from keelback.repodata import decompressed
from keelback.secret import redact
from keelback.transport import Answer
from keelback.transport.client import read_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from keelback.channels.reader import Reader
    from keelback.errors import KeelbackError
    from keelback.transport import Request

_ABSENT: Final = frozenset({404, 410, 501})
_BLOCK: Final = 1 << 20
_PAGE: Final = 512
"""How many bytes at its beginning are enough to recognise a web page."""


class IndexFiles:
    """The indexes that were read before.

    What a server says to the holder of one credential is kept apart from what it says to those of others, and to
    everybody. Anything in the folder may be removed at any time.

    Args:
        folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(
        self,
        reader: Reader,
        url: str,
        *,
        limit: int,
        unpacked: int | None = None,
        refusals: list[KeelbackError] | None = None,
    ) -> Path | None:
        """A file with what is at *url* now; ``None`` where there is nothing.

        Args:
            reader: of the channel.
            url: of the index, or a part of it.
            limit: how many bytes it may have.
            unpacked: how many bytes it may have without its Zstandard compression, which it is then freed from.
            refusals: where the error goes if the server does not let it be read (403), which is then as if there were
                nothing: some answer so for what they do not have.

        Raises:
            CredentialError, ChannelError, TransportError: it cannot be read.
        """
        access = reader.access(url)
        who = "anonymous" if access is None else access.source
        key = hashlib.sha256(f"{who}\n{url}".encode()).hexdigest()
        with self._private():
            kept = self._kept(key, url)
        headers = {"cache-control": "no-cache"}  # of proxies; the server itself may say that nothing has changed
        if kept is not None:
            headers |= kept.conditions
        new = self._folder / f"{key}.{uuid.uuid4().hex}"
        try:
            with self._private():
                answer = _receive(reader, reader.request(url, headers), new, limit)
            if answer.status == 304 and kept is not None:
                return kept.file
            if answer.status in _ABSENT:
                return None
            if answer.status != 200:
                error = reader.error(answer, url)
                if answer.status != 403 or refusals is None:
                    raise error
                refusals.append(error)
                return None
            with self._private():
                _refuse_page(reader, new)
                return self._keep(key, url, new, answer.headers, unpacked)
        finally:
            new.unlink(missing_ok=True)

    def shard(self, sha256: str) -> bytes | None:
        """The shard with this hash, if it was kept; it is not trusted, but hashed by the caller."""
        try:
            return (self._folder / f"{sha256}.shard").read_bytes()
        except OSError:
            return None

    def keep_shard(self, sha256: str, content: bytes) -> None:
        """Keep a shard; if that fails, it is downloaded again next time."""
        file = self._folder / f"{sha256}.{uuid.uuid4().hex}"
        with contextlib.suppress(OSError, ChannelError):
            make_private_folder(self._folder)
            file.write_bytes(content)
            rename(file, self._folder / f"{sha256}.shard")

    def _kept(self, key: str, url: str) -> _Kept | None:
        make_private_folder(self._folder)
        try:
            note = json.loads((self._folder / f"{key}.note").read_bytes())
            file = self._folder / f"{key}.{note['file']}"
            good = note["url"] == url and note["file"].isalnum() and note["stamp"] == _stamp(file)
            return _Kept(file, {str(name): str(value) for name, value in note["conditions"].items()}) if good else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _keep(self, key: str, url: str, new: Path, headers: Mapping[str, str], unpacked: int | None) -> Path:
        """Keep *new* under *key*, in place of what was there."""
        before = self._kept(key, url)
        name = uuid.uuid4().hex
        file = self._folder / f"{key}.{name}"
        if unpacked is None:
            rename(new, file)
        else:
            _unpack(new, file, unpacked, url)
        validators = {"if-none-match": "etag", "if-modified-since": "last-modified"}
        conditions = {asks: headers[says] for asks, says in validators.items() if headers.get(says)}
        note = self._folder / f"{key}.{uuid.uuid4().hex}"
        content = {"url": url, "file": name, "stamp": _stamp(file), "conditions": conditions}
        note.write_text(json.dumps(content), encoding="utf-8")
        rename(note, self._folder / f"{key}.note")
        if before is not None:
            with contextlib.suppress(OSError):  # somebody may be reading it
                before.file.unlink()
        return file

    @contextlib.contextmanager
    def _private(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ChannelError(
                f"the index could not be kept in {self._folder}: {error.strerror or error}",
                hint="Name a folder that you may write in KEELBACK_CACHE_DIR.",
                code="disk",
            ) from error


def _stamp(file: Path) -> list[int]:
    """A stamp that changes with *file*, so that a damaged file is downloaded again and not confirmed for ever."""
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file, and what to ask the server for to learn whether it still holds (RFC 9110, section 13.1)."""

    file: Path
    conditions: Mapping[str, str]


def _receive(reader: Reader, request: Request, to: Path, limit: int) -> Answer:
    """Send *request*, and write a successful answer to the file *to*.

    Raises:
        ChannelError: it has more than *limit* bytes.
        TransportError: no answer came, or not all of it.
    """

    def once() -> Answer:
        with reader.client.receiving(request) as response:
            place = str(response.url.copy_with(raw_path=b"/"))  # what is behind it may be secret
            if response.status_code != 200:
                return replace(read_answer(response, request), url=place)
            done = 0
            with to.open("wb") as file:
                for piece in response.iter_bytes(_BLOCK):
                    done += file.write(piece)
                    if done > limit:
                        raise ChannelError(f"{redact(request.url)} is larger than {limit} bytes", code="bad-index")
            return Answer(200, response.headers, b"", place)

    return reader.client.persist(request, once)


def _refuse_page(reader: Reader, file: Path) -> None:
    """Raise ``ChannelError`` where *file* is a web page, which some servers send in place of an index."""
    with file.open("rb") as content:
        start = content.read(_PAGE).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<") and b"html" in start:
        raise ChannelError(
            f"{redact(reader.url)} sent a web page in place of its index",
            hint=f"Is this the URL of a log-in page or of a web site? See: keelback auth check {redact(reader.url)}.",
            code="bad-index",
        )


def _unpack(packed: Path, to: Path, most: int, url: str) -> None:
    """*packed* without its Zstandard compression, in the file *to*.

    Raises:
        ChannelError: it is malformed, or has more than *most* bytes, or more than any honest index of its size.
    """
    most = most_unpacked(packed.stat().st_size, most)
    try:
        with packed.open("rb") as source, to.open("xb") as target:
            pieces = decompressed(iter(partial(source.read, _BLOCK), b""), redact(url))
            target.writelines(_limited(pieces, most, redact(url)))
    except ChannelError:
        to.unlink(missing_ok=True)
        raise


def _limited(pieces: Iterator[bytes], most: int, what: str) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        done += len(piece)
        if done > most:
            raise ChannelError(f"{what}, unpacked, is larger than {most} bytes", code="bad-index")
        yield piece
