"""How a file is uploaded to Cloudsmith: in one form, or if it is large, in numbered parts (``cloudsmith-cli``).

The answer to ``POST files/OWNER/REPOSITORY/`` says where they go. That is mostly the storage of another service, which
gets no credential. Where it points is checked first.
"""

from __future__ import annotations

import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import httpx2

from keelback.channels.answers import expect
from keelback.channels.cloudsmith_api import is_same_service
from keelback.channels.forms import form_body, refused_by_storage, texts, without_secrets
from keelback.errors import Interrupted, KeelbackError, ServerError
from keelback.hosts import host_of
from keelback.transport import PartBody, Request, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.archive import PackageArchive
    from keelback.channels.cloudsmith_api import Repository
    from keelback.channels.delivery import Delivery
    from keelback.transport import Answer

_log = logging.getLogger(__name__)

PART_SIZE: Final = 100 << 20
"""The size of a part in bytes, and from which size on there are parts (``cloudsmith-cli``, ``CHUNK_SIZE``)."""
_AT_ONCE: Final = 4
"""How many parts of a file are sent at the same time."""

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TEXT: Final = re.compile(r"[\t\x20-\x7e]*")
_HOST: Final = re.compile(rb"[a-z0-9.:_-]+")
_QUERY: Final = re.compile(r"[!$%&'()*+,./0-9:;=?@A-Z_a-z~-]*")
_FRAMING: Final = frozenset(
    {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Header fields that say how a request is read; they are the client's alone (RFC 9110, RFC 9112)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file goes.

    Attributes:
        identifier: by which the API names the file.
        url: absolute, with its query.
        fields: of the form, in order.
        headers: besides those that a request has in any case, in lower case.
    """

    identifier: str
    url: str
    fields: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def secrets(self) -> list[str]:
        """The values with which anybody could upload the file."""
        return [self.identifier, *self.fields.values(), *self.headers.values()]


def upload(repository: Repository, archive: PackageArchive, delivery: Delivery, part_size: int) -> tuple[str, int]:
    """Send the bytes of *archive*, without making a package of them yet.

    Args:
        repository: where to.
        archive: what is sent.
        delivery: told what happens meanwhile.
        part_size: from this size on, in bytes, it is sent in parts of this size.

    Returns:
        the identifier by which a package is made of the file, and how often its bytes were sent.

    Raises:
        ServerError: the answers make no sense, point to a place that is not trusted, or refuse the file.
        KeelbackError: it did not work.
    """
    in_parts = archive.size >= part_size
    method = "put_parts" if in_parts else "post"
    asked = {"filename": archive.filename, "md5_checksum": archive.md5, "method": method}
    answer = repository.call("POST", "files/{}/", asked)
    place = _place(repository, repository.document(answer), answer.status)
    if not in_parts:
        return place.identifier, _send_form(repository, archive, place, delivery)
    try:
        attempts = _Parts(repository, archive, place, delivery, part_size).send()
        _complete(repository, place)
    except BaseException:
        _discard(repository, place, asked)
        raise
    return place.identifier, attempts


# --- where to ---------------------------------------------------------------------------------------------------------


def _place(repository: Repository, document: Mapping[str, Any], status: int) -> Place:
    """Where the file goes, from the answer to ``files/``; raises ``ServerError`` where that is not acceptable."""

    def refusal(what: str) -> ServerError:
        return ServerError(f"{host_of(repository.api)} {what}", status=status, hint="Nothing was sent there.")

    identifier, url = document.get("identifier"), document.get("upload_url")
    if not isinstance(identifier, str) or not identifier.isprintable() or identifier.strip(".") == "":
        raise refusal("did not say by which identifier the file goes")
    if not isinstance(url, str):
        raise refusal("did not say where the file goes")
    query = document.get("upload_querystring") or ""
    if not isinstance(query, str) or not _QUERY.fullmatch(query):
        raise refusal("wants the file sent with a query that is none")
    problem = _problem_of(url, repository.api)
    if problem:
        raise refusal(f"wants the file sent to {problem}")
    fields = _texts(document, "upload_fields")
    if fields is None:
        raise refusal("wants the file sent with fields that are not text")
    headers = _texts(document, "upload_headers")
    if headers is None or not all(_HEADER.fullmatch(name) and _TEXT.fullmatch(text) for name, text in headers.items()):
        raise refusal("wants the file sent with headers that are none")
    headers = {name.lower(): text for name, text in headers.items()}
    if not _FRAMING.isdisjoint(headers):
        raise refusal(f"wants the file sent with another {', '.join(sorted(_FRAMING.intersection(headers)))}")
    return Place(identifier, _with_query(url, query.lstrip("?&")), fields, headers)


def _problem_of(url: str, api: str) -> str:
    """What is wrong with *url*, which the server at *api* chose; empty where nothing is."""
    try:
        place, own = httpx2.URL(url), httpx2.URL(api)
    except (httpx2.InvalidURL, ValueError):
        return "what is not a URL"
    if not _HOST.fullmatch(place.raw_host):
        return "what is not a host"
    if place.scheme not in ("https", own.scheme):
        return "an address that is not https"
    if place.userinfo or place.fragment:
        return "a URL with a user name or a fragment"
    if is_loopback(place.host) and not is_loopback(own.host):
        return "an address of this machine"
    return ""


def _texts(document: Mapping[str, Any], key: str) -> dict[str, str] | None:
    """What is under *key*, which may be missing, if it is an object of texts that can be sent; else ``None``."""
    value = document.get(key)
    return {} if value is None else texts(value)


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def _file(place: Place, what: str) -> str:
    return f"files/{{}}/{quote(place.identifier, safe='')}/{what}/"


# --- in one form ------------------------------------------------------------------------------------------------------


def _send_form(repository: Repository, archive: PackageArchive, place: Place, delivery: Delivery) -> int:
    headers = {name: value for name, value in place.headers.items() if name != "content-type"}  # that of the form
    body = form_body(place.fields, archive, delivery, filename=archive.filename)
    answer = repository.client.send(Request("POST", place.url, headers=headers, body=body, retried=delivery.retried))
    return _expect_stored(answer, place, repository, with_credential=False).attempts


def _expect_stored(answer: Answer, place: Place, repository: Repository, *, with_credential: bool) -> Answer:
    """*answer*, if it is a success; what it repeats of the place is not shown."""
    answer = without_secrets(answer, place.secrets)
    if with_credential and not answer.ok:
        return repository.demand(answer)
    if answer.status in (401, 403):
        raise refused_by_storage(answer, repository.api)
    return expect(answer, page=True)


# --- in parts ---------------------------------------------------------------------------------------------------------


class _Parts:
    """Sends the parts of a file, several at once."""

    def __init__(
        self, repository: Repository, archive: PackageArchive, place: Place, delivery: Delivery, size: int
    ) -> None:
        self._repository = repository
        self._archive = archive
        self._place = place
        self._size = size
        self._progress = _Progress(delivery)
        self._auth = repository.auth if is_same_service(place.url, repository.api) else None

    def send(self) -> int:
        """Send all parts; returns the attempts of the part that took the most."""
        starts = range(0, self._archive.size, self._size)
        with ThreadPoolExecutor(min(_AT_ONCE, len(starts)), thread_name_prefix="part") as pool:
            sending = [pool.submit(self._send_one, number, start) for number, start in enumerate(starts, start=1)]
            try:
                return max(done.result() for done in as_completed(sending))
            except BaseException:
                self._progress.stop()
                for waiting in sending:
                    waiting.cancel()
                raise

    def _send_one(self, number: int, start: int) -> int:
        """``PUT UPLOAD_URL?upload_id=IDENTIFIER&part_number=NUMBER``."""
        query = urlencode({"upload_id": self._place.identifier, "part_number": number})
        body = PartBody.of(self._archive, start, min(self._size, self._archive.size - start), self._progress.sent)
        request = Request(
            "PUT",
            _with_query(self._place.url, query),
            auth=self._auth,
            headers=self._place.headers,
            body=body,
            retried=self._progress.retried,
        )
        answer = self._repository.client.send(request)
        stored = _expect_stored(answer, self._place, self._repository, with_credential=self._auth is not None)
        return stored.attempts


class _Progress:
    """The progress of all parts together; a part that is sent again does not count twice."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._sent = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Stop all parts."""
        self._stopped.set()

    def sent(self, count: int) -> None:
        """*count* more bytes are sent."""
        if self._stopped.is_set():
            raise Interrupted("another part could not be sent")
        with self._lock:
            self._sent += count
            self._delivery.sent(count)

    def retried(self, seconds: float, why: str) -> None:
        """A part is sent again; the others go on."""
        with self._lock:
            self._delivery.retried(seconds, why)
            self._delivery.sent(self._sent)


def _complete(repository: Repository, place: Place) -> None:
    answer = repository.call("POST", _file(place, "complete"), {"upload_id": place.identifier, "complete": True})
    # the answer to the first try got lost, and there is nothing left to complete; if that failed, no package can be
    # made of the file, which is an error then
    if not (answer.uncertain and 400 <= answer.status <= 499 and answer.status not in (401, 403)):
        repository.demand(answer)


def _discard(repository: Repository, place: Place, asked: Mapping[str, str]) -> None:
    """Tell the server to delete the parts; never raises ``KeelbackError``.

    Uses a client of its own, because the user may have stopped the run.
    """
    apart = repository.apart()
    try:
        with apart.client:
            answer = apart.call("POST", _file(place, "abort"), asked)
            if answer.status != 404:  # they are gone already
                apart.demand(answer)
    except KeelbackError as error:
        # without the message, which may contain the identifier
        _log.warning("what was sent of %s is left at %s (%s)", asked["filename"], host_of(repository.api), error.code)
