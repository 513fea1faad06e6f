"""How archives get into a channel whose bytes are in another one."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Literal

from keelback.channels.delivery import NotBegun
from keelback.channels.relay.archive import StreamedArchive
from keelback.channels.relay.attestations import carried
from keelback.channels.relay.servercopy import CannotCopy
from keelback.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from keelback.archive import PackageArchive
    from keelback.channels.base import Channel
    from keelback.channels.delivery import Delivery
    from keelback.channels.relay.servercopy import ServerCopy
    from keelback.channels.relay.supply import Supply
    from keelback.listing import Listed
    from keelback.report import Reporter


class Relay:
    """Finds, announces and sends what *supply* has, in the place of *channel*; safe to use from several threads.

    While as many archives as may be are on their way, the first bytes of the next ones are fetched.

    Args:
        channel: opened.
        supply: where the archives come from.
        at_once: how many archives are sent at once.
        needs_file: whether archives have to be here while they are sent.
        attestations: whether they go along; ``pinned``: those that records name alone; ``all``: others, too.
        server_copy: has the server copy them, where it can.
        reporter: who is told.
    """

    def __init__(
        self,
        channel: Channel,
        supply: Supply,
        *,
        at_once: int,
        needs_file: bool,
        attestations: Literal["pinned", "all"] | None,
        server_copy: ServerCopy | None,
        reporter: Reporter,
    ) -> None:
        self._channel = channel
        self._supply = supply
        self._needs_file = needs_file
        self._attestations = attestations
        self._server_copy = server_copy
        self._reporter = reporter
        self._slots = threading.BoundedSemaphore(at_once)
        self._first = threading.Lock()
        self._copies = server_copy is not None

    def find(self, archive: PackageArchive) -> Listed | None:
        """See :class:`~keelback.channels.base.Channel`."""
        return self._channel.find(archive) if self._server_copy is None else self._server_copy.find(archive)

    def announce(self, archive: PackageArchive) -> None:
        """See :class:`~keelback.channels.base.Channel`; what is not here yet is announced when it is."""
        if not self._announces_late:
            self._channel.announce(archive)

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """See :class:`~keelback.channels.base.Channel`."""
        attempts = self._copied(archive, overwrite=overwrite, delivery=delivery)
        if attempts is not None:
            return attempts
        begun = archive if isinstance(archive, StreamedArchive) and not self._needs_file else None
        try:
            if self._attestations is not None:
                indexed = self._supply.indexed(archive)
                delivery.attestation = carried(self._supply.reader, indexed, pinned=self._attestations == "pinned")
            if begun is not None:
                begun.begin()
        except Interrupted:
            raise NotBegun from None
        try:
            with self._slot(delivery), self._at_hand(archive) as found:
                return self._sent(found, overwrite=overwrite, delivery=delivery)
        finally:
            if begun is not None:
                begun.end()

    @property
    def _announces_late(self) -> bool:
        return self._needs_file or self._server_copy is not None

    @contextlib.contextmanager
    def _slot(self, delivery: Delivery) -> Iterator[None]:
        """Wait until another one may be sent."""
        with self._slots:
            delivery.begin()
            yield

    def _at_hand(self, archive: PackageArchive) -> AbstractContextManager[PackageArchive]:
        """*archive* as it is sent: from a file, if that is needed."""
        if isinstance(archive, StreamedArchive) and self._needs_file:
            return self._supply.here(archive)
        return contextlib.nullcontext(archive)

    def _sent(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        if self._announces_late:
            self._channel.announce(archive)
        return self._channel.send(archive, overwrite=overwrite, delivery=delivery)

    def _copied(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int | None:
        """How often the server was asked to copy *archive*, which it did; ``None`` where it cannot.

        A server that cannot copy one archive is not asked for the next ones.
        """
        if self._server_copy is None or not self._copies:
            return None
        try:
            with self._slot(delivery):
                return self._server_copy.copy(archive, overwrite=overwrite)
        except CannotCopy as reason:
            with self._first:
                if self._copies:
                    self._copies = False
                    self._reporter.note(f"the server does not copy it itself, so that the bytes are sent: {reason}")
            return None
