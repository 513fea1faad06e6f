"""Uploads of archives to Azure Blob Storage: whole in one request, or in blocks of which a blob is made at the end.

(Azure Storage REST API, "Put Blob", "Put Block", "Put Block List".)

Blocks belong to a key until a blob is made of them. The service discards unused ones, all those of a key at once: when
somebody writes a blob under it, or else after a week. No request deletes them. Writing and deleting an empty blob
would; but for a moment readers and other publishers would find an archive without content, and a run that is killed
then would leave it there. So unused blocks stay until the next run that publishes the archive, or for a week.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from keelback.channels.buckets.azureerrors import SERVICE
from keelback.channels.buckets.azurerequests import WRITE, attribute_headers
from keelback.channels.buckets.azurexml import block_list, error_code
from keelback.channels.buckets.bucket import ABSENT, MD5, SHA256, Changed, Staged
from keelback.channels.buckets.digests import md5_of, to_base64
from keelback.channels.buckets.etags import condition_headers
from keelback.transport import ArchiveBody, PartBody
from keelback.transport.body import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.azurerequests import ContainerRequests
    from keelback.channels.buckets.bucket import Attributes, Condition
    from keelback.channels.delivery import Delivery
    from keelback.transport import Answer

_log = logging.getLogger(__name__)

PART_SIZE: Final = 16 << 20
"""Bytes of a block, and those up to which an archive goes out whole, unless it has to go ahead."""
_MOST_BLOCKS: Final = 50_000
_AT_ONCE: Final = 4
"""How many blocks of an archive are sent at once."""
_MOST_SENDINGS: Final = 3
"""How often the blocks are sent, where others that write under the same key make the service discard them."""
_IN_THE_WAY: Final = frozenset({"InvalidBlobOrBlock", "BlockCountExceedsLimit"})
"""What the service says where other blocks of the same key are named in another way, or are too many."""
_FORGOTTEN: Final = "InvalidBlockList"


class BlocksInTheWayError(Exception):
    """Blocks that somebody else left under the same key keep others from being added."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What is written where.

    Attributes:
        requests: to the container.
        key: of the blob, relative to the channel.
        archive: its content.
        attributes: what is kept with it.
        delivery: told how far it is.
    """

    requests: ContainerRequests
    key: str
    archive: PackageArchive
    attributes: Attributes
    delivery: Delivery

    def headers(self, condition: Condition) -> dict[str, str]:
        """Those of the request that makes the blob."""
        return {**attribute_headers(self.attributes), **condition_headers(condition, SERVICE)}

    @property
    def md5(self) -> str | None:
        """The MD5 of the archive, hex; ``None`` where nobody knows it."""
        return self.attributes.metadata.get(MD5)

    def settle(self, answer: Answer, condition: Condition) -> None:
        """See :meth:`ContainerRequests.settle`; *answer* is the one to the request that makes the blob."""
        sha256 = self.attributes.metadata.get(SHA256)
        self.requests.settle(answer, self.key, size=self.archive.size, condition=condition, sha256=sha256)


class WholeBlob(Staged):
    """An archive of which nothing is sent before it is published, and then all of it in one request.

    Args:
        upload: what is written where.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def publish(self, condition: Condition) -> int:
        """See :class:`Staged`; the service compares what it got with the MD5."""
        upload = self._upload
        headers = {"x-ms-blob-type": "BlockBlob", **upload.headers(condition)}
        if upload.md5 is not None:
            headers["content-md5"] = to_base64(upload.md5)
        body = ArchiveBody(upload.archive, upload.delivery.sent)
        answer = upload.requests.send("PUT", upload.key, headers=headers, body=body, retried=upload.delivery.retried)
        upload.settle(answer, condition)
        return answer.attempts

    def discard(self) -> None:
        """Nothing is with the service."""


class BlobOfBlocks(Staged):
    """An archive of which all blocks are with the service.

    Args:
        upload: what is written where.
        part_size: bytes of a block; they are more, where there would be more than 50,000 blocks.
    """

    def __init__(self, upload: Upload, part_size: int) -> None:
        self._upload = upload
        self._part_size = max(part_size, -(-upload.archive.size // _MOST_BLOCKS))
        self._ids: list[str] = []
        self._sendings = 0

    def send(self) -> None:
        """Send all blocks.

        Raises:
            BlocksInTheWayError: the service takes none, because of others under the same key.
            KeelbackError: it did not work.
        """
        self._sendings += 1
        sending = _Sending(self._upload, self._part_size)
        sending.run()
        self._ids = sending.ids

    def publish(self, condition: Condition) -> int:
        """See :class:`Staged`; where another upload under the key made the service discard the blocks, all go again."""
        while True:
            answer = self._commit(condition)
            if error_code(answer.headers, answer.content) != _FORGOTTEN or self._is_settled(answer, condition):
                break
            if self._sendings == _MOST_SENDINGS:
                break
            _log.info("%s: another upload of it had its blocks forgotten; sending it again", self._upload.key)
            self._upload.delivery.retried(0.0, "another upload of the same file was faster")
            self.send()
        self._upload.settle(answer, condition)
        return self._sendings

    def discard(self) -> None:
        """Nothing: see the beginning of this file."""

    def _commit(self, condition: Condition) -> Answer:
        upload = self._upload
        body = block_list(self._ids)
        headers = {
            "content-type": "application/xml",
            "content-md5": to_base64(md5_of(body)),
            **upload.headers(condition),
        }
        if upload.md5 is not None:
            headers["x-ms-blob-content-md5"] = to_base64(upload.md5)
        return upload.requests.send("PUT", upload.key, query={"comp": "blocklist"}, headers=headers, body=body)

    def _is_settled(self, answer: Answer, condition: Condition) -> bool:
        """Whether the blob was made already by an attempt before *answer*, which says that the blocks are gone.

        Raises:
            Changed: the condition does not hold any more.
        """
        found = self._upload.requests.stat(self._upload.key)
        sha256 = self._upload.attributes.metadata.get(SHA256)
        if answer.uncertain and found is not None and found.size == self._upload.archive.size:
            return found.sha256 == sha256
        there = ABSENT if found is None else found.version
        if condition not in (None, there):
            raise Changed(self._sendings, uncertain=answer.uncertain)
        return False


class _AbandonedError(Exception):
    """Another block of the same archive could not be sent."""


class _Sending:
    """Sends all blocks of an archive, once.

    The names of the blocks are unique to this upload: two that write different archives under one key would mix
    their blocks otherwise.

    Args:
        upload: what is written where.
        part_size: bytes of a block.
    """

    def __init__(self, upload: Upload, part_size: int) -> None:
        self._upload = upload
        self._size = upload.archive.size
        self._part_size = part_size
        self._lock = threading.Lock()
        self._failed = threading.Event()
        name = secrets.token_hex(8)
        starts = range(0, self._size, part_size)
        self.ids = [base64.b64encode(f"{name}-{number:07d}".encode()).decode() for number in range(len(starts))]
        self._starts = dict(zip(self.ids, starts, strict=True))

    def run(self) -> None:
        """Send them; raises what went wrong first."""
        if self._upload.archive.streams:
            self._run_in_order()
        else:
            self._run_at_once()

    def _run_at_once(self) -> None:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="block") as pool:
            futures = [pool.submit(self._send_from_file, block) for block in self.ids]
            with self._upload.requests.client.turns.waiting():
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            errors = [error for future in done if (error := future.exception()) is not None]
            if errors:
                self._failed.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise next((error for error in errors if not isinstance(error, _AbandonedError)), errors[0])

    def _run_in_order(self) -> None:
        """Send the blocks of an archive that is being fetched, in one pass; one block is kept in memory."""
        blocks = self._upload.archive.blocks(BLOCK)
        held = bytearray()
        for block in self.ids:
            length = self._length(block)
            while len(held) < length:
                held += next(blocks)
            content, held = held, held[length:]
            del content[length:]
            self._send(block, partial(_pieces, content))
        for _ in islice(blocks, 1):  # to its end, where it is compared with what it should be
            pass

    def _send_from_file(self, block: str) -> None:
        start, length = self._starts[block], self._length(block)
        self._send(block, lambda: self._upload.archive.blocks(BLOCK, start, length))

    def _send(self, block: str, content: Callable[[], Iterator[memoryview]]) -> None:
        """Send one; the service compares what it got with the MD5."""
        self._check()
        digest = hashlib.md5(usedforsecurity=False)
        for piece in content():
            digest.update(piece)
        answer = self._upload.requests.send(
            "PUT",
            self._upload.key,
            query={"comp": "block", "blockid": block},
            headers={"content-md5": to_base64(digest.hexdigest())},
            body=PartBody(content, self._length(block), self._sent),
        )
        if answer.status == 201:
            return
        if error_code(answer.headers, answer.content) in _IN_THE_WAY:
            raise BlocksInTheWayError
        raise self._upload.requests.error(answer, WRITE.format(self._upload.key))

    def _length(self, block: str) -> int:
        return min(self._part_size, self._size - self._starts[block])

    def _sent(self, count: int) -> None:
        self._check()
        with self._lock:
            self._upload.delivery.sent(count)

    def _check(self) -> None:
        if self._failed.is_set():
            raise _AbandonedError


def _pieces(content: bytearray) -> Iterator[memoryview]:
    view = memoryview(content)
    return (view[at : at + BLOCK] for at in range(0, len(view), BLOCK))
