"""Runs one scripted server by hand: ``python -m servers.scripted quetz --port 8000`` from the tests folder."""

from __future__ import annotations

import argparse
import threading

from . import AnacondaServer, ArtifactoryServer, PrefixServer, QuetzServer

_SERVERS = {
    "anaconda": AnacondaServer,
    "artifactory": ArtifactoryServer,
    "prefix": PrefixServer,
    "quetz": QuetzServer,
}


def main() -> None:
    """Serve until interrupted, printing the URL first and what was objected to last."""
    parser = argparse.ArgumentParser(prog="python -m servers.scripted", description=__doc__)
    parser.add_argument("protocol", choices=sorted(_SERVERS))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--secret", default="test-secret", help="the token or key it expects")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    server = _SERVERS[options.protocol](options.secret, latency=options.latency).start(options.port)
    print(f"{server.service_url}  (channel {server.channel}; publish --to {server.publish_url})", flush=True)  # noqa: T201 - its output
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop()
        print(*server.requests, *server.protocol_errors, *server.crashes, sep="\n")  # noqa: T201 - its output


if __name__ == "__main__":
    main()
