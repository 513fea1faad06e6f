"""Connection strings: an account, where it is, and its credential, in one variable.

(Azure Storage documentation, "Configure Azure Storage connection strings".)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from keelback.errors import UsageError
from keelback.hosts import host_of
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "AZURE_STORAGE_CONNECTION_STRING"
_SUFFIX: Final = "core.windows.net"


@dataclass(frozen=True)
class Connection:
    """What a connection string says.

    Attributes:
        account: the name of the account.
        blob_endpoint: the URL of its Blob Storage, without a slash at its end; it may be any.
        key: of the account; ``None`` where it has none.
        signature: a shared access signature; likewise.
    """

    account: str
    blob_endpoint: str
    key: Secret | None = None
    signature: Secret | None = None

    @classmethod
    def named_in(cls, environ: Mapping[str, str]) -> Self | None:
        """The connection in the variable ``AZURE_STORAGE_CONNECTION_STRING``; ``None`` where that is not set.

        Raises:
            UsageError: it is malformed. Nothing of it is shown.
        """
        text = environ.get(VARIABLE, "").strip()
        if not text:
            return None
        source = f"the variable {VARIABLE}"
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (field.partition("=") for field in text.split(";") if field.strip())
        }
        key, signature = fields.get("accountkey"), fields.get("sharedaccesssignature")
        secrets = [Secret(value, source) if value else None for value in (key, signature)]
        endpoint = fields.get("blobendpoint", "").partition("?")[0].rstrip("/")
        account = fields.get("accountname") or host_of(endpoint).partition(".")[0]
        if not account or (endpoint and not endpoint.startswith(("https://", "http://"))):
            raise UsageError(
                f"{VARIABLE} names no account, or no valid endpoint of one",
                hint="Copy it again: it looks like DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...",
            )
        protocol = fields.get("defaultendpointsprotocol") or "https"
        suffix = fields.get("endpointsuffix") or _SUFFIX
        return cls(account, endpoint or f"{protocol}://{account}.blob.{suffix}", *secrets)
