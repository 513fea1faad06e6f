"""Copies that a server makes between its own channels, so that no bytes leave it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keelback.archive import PackageArchive
    from keelback.listing import Listed


class CannotCopy(Exception):
    """The server does not copy this archive; the text says why."""


class ServerCopy(ABC):
    """Asks a server to copy archives from one of its channels to another, which is open; safe to use from threads."""

    @abstractmethod
    def find(self, archive: PackageArchive) -> Listed | None:
        """What the channel to which is copied has under the name of *archive*, as for ``Channel.find``."""

    @abstractmethod
    def copy(self, archive: PackageArchive, *, overwrite: bool) -> int:
        """Copy *archive*, check that it arrived with the right bytes, and return how often that was asked for.

        Args:
            archive: in the channel from which is copied.
            overwrite: whether a file of that name is replaced.

        Raises:
            CannotCopy: the server says that it cannot do this.
            Refusal: the channel has a file of that name, and *overwrite* is false.
            KeelbackError: it did not work.
        """
