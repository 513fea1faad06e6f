"""Has py-rattler verify the attestations of one package, as a process of its own: JSON in, JSON out.

It ends with ``os._exit`` because py-rattler can crash while the interpreter shuts down after asynchronous calls.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import rattler
from rattler.sigstore import Issuer, Publisher, TrustedRoot, VerificationPolicy, verify_attestation


async def answer(question: dict[str, Any]) -> dict[str, Any]:
    """What the record of the package says of attestations, who signed them, and why one is refused."""
    gateway = rattler.Gateway(
        cache_dir=question["cache"],
        default_config=rattler.SourceConfig(sharded_enabled=question["sharded"]),
    )
    found = await gateway.query([question["channel"]], ["noarch"], [question["name"]], recursive=False)
    ((record,),) = found
    publisher = Publisher(question["identity"], Issuer(question["issuer"]))
    named = record.attestations_sha256
    told = {"named": named.hex() if named else None, "identity": None, "refused": None}
    try:
        outcome = await verify_attestation(
            record,
            VerificationPolicy.require(publisher),
            trusted_root=TrustedRoot.from_json(json.dumps(question["trusted_root"])),
        )
    except Exception as error:  # noqa: BLE001 - whatever py-rattler raises is the answer to a test's question
        return {**told, "refused": str(error)}
    return {**told, "identity": outcome.attestation and outcome.attestation.identity}


def main() -> None:
    """Answer the question on standard input."""
    json.dump(asyncio.run(answer(json.load(sys.stdin))), sys.stdout)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
