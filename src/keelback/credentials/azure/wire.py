"""What every request to Azure Blob Storage has, whatever its credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import httpx2

API_VERSION: Final = "2021-12-02"
"""The version of the service's interface that is spoken, which tokens need to be named (Azure Storage REST API,
"Versioning for Azure Storage"): one that emulators and stacks of some years ago know, too."""
VERSION_HEADER: Final = "x-ms-version"

RESOURCE: Final = "https://storage.azure.com"
"""For what tokens are asked (Azure Storage documentation, "Authorize access to blobs using Microsoft Entra ID")."""


def name_version(request: httpx2.Request) -> None:
    """Have *request* say which version of the interface it means, unless it does."""
    request.headers.setdefault(VERSION_HEADER, API_VERSION)
