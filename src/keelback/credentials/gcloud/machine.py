"""The service account of a machine at Google, from its metadata server.

(Compute Engine documentation, "About VM metadata"; Cloud Run and Google Kubernetes Engine have the same.)
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import httpx2

from keelback.credentials.confidential import LARGEST_ANSWER
from keelback.credentials.gcloud.tokens import Account, token_in
from keelback.credentials.oidc.asking import replied
from keelback.errors import ExchangeError
from keelback.hosts import host_of
from keelback.transport import Request
from keelback.transport.pools import proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.credentials.gcloud.places import Places
    from keelback.credentials.oidc.exchanged import Exchanged
    from keelback.transport import Client

HOST: Final = "GCE_METADATA_HOST"
_SERVICES: Final = ("K_SERVICE", "CLOUD_RUN_JOB", "FUNCTION_TARGET", "GAE_SERVICE")
"""Variables that Google's services set, whose machines have no product name."""
_PRODUCT_NAME: Final = Path("/sys/class/dmi/id/product_name")
_PRODUCTS: Final = frozenset({"Google", "Google Compute Engine"})
_SECONDS: Final = 5.0
"""The server is on the machine itself, and answers in milliseconds."""


@dataclass(frozen=True)
class Machine(Account):
    """The service account of this machine.

    Attributes:
        metadata: the origin of the metadata server.
    """

    metadata: str
    described: str = "the service account of this machine"

    @classmethod
    def here(cls, environ: Mapping[str, str], places: Places, product_name: Path = _PRODUCT_NAME) -> Machine | None:
        """This machine, if it is one at Google, as far as can be told without a request; ``None`` otherwise."""
        named = environ.get(HOST, "").strip()
        if named:
            return cls(f"http://{named}")
        if environ.get("NO_GCE_CHECK", "").strip().lower() == "true":
            return None
        try:
            is_product = product_name.read_text(encoding="utf-8").strip() in _PRODUCTS
        except (OSError, UnicodeDecodeError):
            is_product = False
        return cls(places.metadata) if is_product or any(environ.get(name) for name in _SERVICES) else None

    def token(self, client: Client, scope: str) -> Exchanged:
        """See :class:`Account`; the request holds no secret, so that it may go over plain HTTP."""
        asked = time.time()
        path = "/computeMetadata/v1/instance/service-accounts/default/token"
        url = f"{self.metadata}{path}?{urlencode({'scopes': scope})}"
        host = host_of(url)
        if proxy_for(httpx2.URL(url)) is not None:
            raise ExchangeError(
                f"Google gave no access token for {self.described}: the request to {host} would go through a proxy",
                hint=f"Add {host} to the variable NO_PROXY.",
            )
        request = Request("GET", url, headers={"Metadata-Flavor": "Google"}, limit=LARGEST_ANSWER)
        reply = replied(
            url,
            lambda: client.send(request),
            failure=lambda: f"Google gave no access token for {self.described}",
            error=ExchangeError,
            source="the metadata server",
            seconds=_SECONDS,
        )
        if reply.answer.headers.get("metadata-flavor") != "Google":  # as it says of itself in every answer
            raise reply.foreign("what is not that of the metadata server")
        if reply.answer.status != 200:
            raise reply.refusal("", hint="Give the machine a service account, with access to storage.")
        return token_in(reply, asked)
