"""The way of an archive into a channel whose bytes are in another one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from keelback.channels.relay.archive import StreamedArchive
from keelback.channels.relay.attestations import carried
from keelback.channels.relay.servercopy import CannotCopy

if TYPE_CHECKING:
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
        copier: has the server copy them, where it can.
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
        copier: ServerCopy | None,
        reporter: Reporter,
    ) -> None:
        self._channel = channel
        self._supply = supply
        self._needs_file = needs_file
        self._attestations = attestations
        self._copier = copier
        self._reporter = reporter
        self._slots = threading.BoundedSemaphore(at_once)
        self._first = threading.Lock()
        self._copies = copier is not None

    def find(self, archive: PackageArchive) -> Listed | None:
        """See :class:`~keelback.channels.base.Channel`."""
        return self._channel.find(archive) if self._copier is None else self._copier.find(archive)

    def announce(self, archive: PackageArchive) -> None:
        """See :class:`~keelback.channels.base.Channel`; what is not here yet is announced when it is."""
        if not self._announces_late:
            self._channel.announce(archive)

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """See :class:`~keelback.channels.base.Channel`."""
        attempts = self._copied(archive, overwrite=overwrite)
        if attempts is not None:
            return attempts
        if self._attestations is not None:
            indexed = self._supply.indexed(archive)
            delivery.attestation = carried(self._supply.reader, indexed, pinned=self._attestations == "pinned")
        if not isinstance(archive, StreamedArchive):
            return self._sent(archive, overwrite=overwrite, delivery=delivery)
        if self._needs_file:
            with self._slots, self._supply.here(archive) as found:
                return self._sent_now(found, overwrite=overwrite, delivery=delivery)
        archive.begin()
        try:
            return self._sent(archive, overwrite=overwrite, delivery=delivery)
        finally:
            archive.end()

    @property
    def _announces_late(self) -> bool:
        return self._needs_file or self._copier is not None

    def _sent(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        with self._slots:
            return self._sent_now(archive, overwrite=overwrite, delivery=delivery)

    def _sent_now(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        if self._announces_late:
            self._channel.announce(archive)
        return self._channel.send(archive, overwrite=overwrite, delivery=delivery)

    def _copied(self, archive: PackageArchive, *, overwrite: bool) -> int | None:
        """How often the server was asked to copy *archive*, which it did; ``None`` where it cannot.

        A server that cannot copy one archive is not asked for the next ones.
        """
        if self._copier is None or not self._copies:
            return None
        try:
            with self._slots:
                return self._copier.copy(archive, overwrite=overwrite)
        except CannotCopy as reason:
            with self._first:
                if self._copies:
                    self._copies = False
                    self._reporter.note(f"the server does not copy it itself, so that the bytes are sent: {reason}")
            return None
