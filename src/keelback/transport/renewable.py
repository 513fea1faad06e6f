"""Credentials that can be replaced by new ones while a run goes on."""

from __future__ import annotations

from abc import abstractmethod

import httpx2


class RenewableAuth(httpx2.Auth):
    """A credential that a server may refuse because it has expired, and that can be renewed then, once a request."""

    @property
    @abstractmethod
    def generation(self) -> int:
        """Which credential is in use; another number after each renewal."""

    @abstractmethod
    def renew(self, generation: int) -> None:
        """Get a new credential, unless that of *generation* has been replaced meanwhile.

        Raises:
            KeelbackError: there is none to be had.
        """
