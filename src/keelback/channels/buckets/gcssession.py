"""A resumable upload: chunks of an archive in order, and where to continue after a failure.

(Cloud Storage documentation, "Perform resumable uploads", "Check the status of a resumable upload": 308 with ``Range``
says how much the service has.) The parts of one upload do not go out in parallel: the protocol has one place to go on
from.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from keelback.channels.buckets.gcserrors import CREATE
from keelback.errors import KeelbackError, ServerError, SourceChanged
from keelback.transport import PartBody, Request
from keelback.transport.body import BLOCK
from keelback.transport.failures import BROKEN, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.gcsapi import Api
    from keelback.channels.delivery import Delivery
    from keelback.secret import Secret
    from keelback.transport import Answer

logger = logging.getLogger(__name__)

_RANGE: Final = re.compile(r"bytes=0-([0-9]{1,18})")
_MOST_STALLS: Final = 5
"""How many answers in a row may say that nothing more has arrived."""


class Upload:
    """One resumable upload.

    Args:
        api: the bucket.
        url: of the upload.
        archive: what is sent.
        delivery: told how far it is.
        chunk: how many bytes go out in one request.
    """

    def __init__(self, api: Api, url: Secret, archive: PackageArchive, delivery: Delivery, chunk: int) -> None:
        self._api = api
        self._url = url
        self._archive = archive
        self._delivery = delivery
        self._chunk = chunk
        self._has = 0
        self._pieces = _Streamed(archive) if archive.streams else _Seekable(archive)

    def send_up_to(self, end: int) -> None:
        """Send until the service has the first *end* bytes, which are not all.

        Raises:
            KeelbackError: it does not; the upload is of no use any more.
        """
        stalls, furthest = 0, 0
        while self._has < end:
            answer = self._put(min(self._has + self._chunk, end))
            if answer.status != 308:
                raise self._failure(answer)
            self._has = self._persisted(answer)
            stalls = 0 if self._has > furthest else stalls + 1
            furthest = max(furthest, self._has)
            if stalls == _MOST_STALLS:
                raise self.lost("does not take any more of it")
        self._pieces.read_to(self._archive.size)

    def finish(self) -> Answer:
        """The answer of the service to the last bytes, whatever its status, except for one that wants more of them.

        Raises:
            KeelbackError: no answer came; or the service has not kept what it had.
        """
        for _ in range(_MOST_STALLS):
            answer = self._put(self._archive.size)
            if answer.status != 308:
                return answer
            self._has = self._persisted(answer)
        raise self.lost("does not take its last bytes")

    def cancel(self) -> None:
        """Have the service discard the upload; it says 499 where it does ("Cancel a resumable upload").

        It is asked once: an upload that is left costs nothing.
        """
        request = Request("DELETE", self._url.reveal(), self._api.auth, headers={"content-length": "0"})
        try:
            self._api.client.send_once(request)
        except (*BROKEN, KeelbackError) as error:
            logger.debug("an unfinished upload is left, and will be forgotten within a week: %s", describe(error))

    def _put(self, end: int) -> Answer:
        """The answer to the bytes up to *end*; after a failure, sending continues after what the service has."""
        url, total = self._url.reveal(), self._archive.size
        broken = False

        def once() -> Answer:
            nonlocal broken
            if broken:
                status = self._ask()
                if status.status != 308:
                    return status
                self._has = self._persisted(status)
                self._delivery.sent(self._has)
            broken = True
            start = self._has
            if start >= end:
                return self._ask()
            body = PartBody(lambda: self._pieces.between(start, end), end - start, self._delivery.sent)
            headers = {"content-range": f"bytes {start}-{end - 1}/{total}"}
            return self._api.client.send_once(Request("PUT", url, self._api.auth, headers, body))

        return self._api.client.persist(Request("PUT", url, self._api.auth, retried=self._delivery.retried), once)

    def _ask(self) -> Answer:
        """How much the service has: 308 with a range; or the object, where it has everything."""
        headers = {"content-range": f"bytes */{self._archive.size}", "content-length": "0"}
        return self._api.client.send_once(Request("PUT", self._url.reveal(), self._api.auth, headers))

    def _persisted(self, answer: Answer) -> int:
        """How many bytes the service has, as *answer*, a 308, says.

        Raises:
            ServerError: what it says cannot be.
        """
        said = answer.headers.get("range")
        if said is None:
            has = 0
        else:
            match = _RANGE.fullmatch(said.strip())
            has = -1 if match is None else int(match[1]) + 1
        if not self._pieces.oldest <= has <= self._archive.size:
            raise self.lost("says that it has other bytes of it than were sent")
        return has

    def _failure(self, answer: Answer) -> KeelbackError:
        if answer.status in {404, 410}:
            return self.lost(f"has forgotten it ({answer.status})")
        if answer.ok:
            return self.lost("says that it is complete, before all of it was sent")
        return self._api.error(answer, CREATE)

    def lost(self, what: str) -> ServerError:
        """The error for an upload that cannot go on, because the service does *what*."""
        return ServerError(
            f"The upload of {self._archive.relative_path} to gs://{self._api.bucket} broke off: the service {what}",
            status=308,
            hint="Run it again.",
            code="broken-upload",
        )


class _Seekable:
    """The bytes of an archive that can be read from anywhere."""

    oldest = 0

    def __init__(self, archive: PackageArchive) -> None:
        self._archive = archive

    def between(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes from *start* to *end*, in blocks."""
        return self._archive.blocks(BLOCK, start, end - start)

    def read_to(self, end: int) -> None:
        """They can be read at any time."""


class _Streamed:
    """The bytes of an archive that come from elsewhere, in one pass: of them, the last chunk is kept.

    Attributes:
        oldest: the first byte that can still be had.
    """

    def __init__(self, archive: PackageArchive) -> None:
        self._archive = archive
        self._blocks = archive.blocks(BLOCK)
        self._held = bytearray()
        self.oldest = 0

    def between(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes from *start* to *end*, in blocks; what is before *start* is forgotten."""
        del self._held[: start - self.oldest]
        self.oldest = start
        self.read_to(end)
        for at in range(0, end - start, BLOCK):
            yield memoryview(self._held[at : min(at + BLOCK, end - start)])

    def read_to(self, end: int) -> None:
        """Have the bytes up to *end*; whatever is wrong with them is found out when the last one is read."""
        while self.oldest + len(self._held) < end:
            block = next(self._blocks, None)
            if block is None:
                raise SourceChanged(f"{self._archive.filename} ended before all of it was there")
            self._held += block
