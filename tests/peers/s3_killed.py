"""Publishes, and kills itself before a request: ``python s3_killed.py NUMBER CHANNEL PACKAGES...``; 0 for never.

It prints how many requests were sent.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import keelback.transport.pools
from keelback.publishing import publish

if TYPE_CHECKING:
    import httpx2


def main(number: int, channel: str, *packages: str) -> int:
    """See the top of this file."""
    lock = threading.Lock()
    sent = 0
    real = keelback.transport.pools.Pools.handle_request

    def counted(pools: keelback.transport.pools.Pools, request: httpx2.Request) -> httpx2.Response:
        nonlocal sent
        with lock:
            sent += 1
            if sent == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(pools, request)

    keelback.transport.pools.Pools.handle_request = counted  # type: ignore[method-assign]  # the point of it
    report = publish(packages, channel)
    print(sent)  # noqa: T201 - the answer
    return int(report.exit_status)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
