"""The sink as a server of trusted publishing: over TLS, with an identity endpoint and a mint endpoint beside uploads.

All of it is at ``https://localhost:PORT``. Identities are not signed and tokens are not checked, for what is timed is
the client. Run by itself it writes ``authority.pem`` into a folder, prints its port, and serves until it is stopped::

    python benchmarks/trusting_sink.py FOLDER --latency 50
"""

from __future__ import annotations

import argparse
import base64
import json
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trustme

from sink import CONTROL, NOT_FOUND, Answer, Connection, Sink

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

HOST: Final = "localhost"
AUTHORITY: Final = "authority.pem"


class TrustingSink(Sink):
    """Answers as prefix.dev does where every file is new to it, whether the client has a token or not.

    A job asks for its identity below ``/-/``, so that this is neither counted nor delayed: it is another server's.

    Args:
        context: speaks TLS.
        latency: seconds to wait before each answer to a mint or an upload.
    """

    def __init__(self, context: ssl.SSLContext, *, latency: float) -> None:
        super().__init__(latency=latency)
        self._context = context
        self._exchanges = 0

    def _serve(self, sock: socket.socket) -> None:
        try:
            secured = self._context.wrap_socket(sock, server_side=True)
        except OSError:
            return  # the client's run then shows fewer packages than it should
        super()._serve(secured)

    def _answer_all(self, connection: Connection) -> None:
        first = True
        while head := connection.read_head():
            segments, headers = _parsed(head)
            size = connection.drop_body(headers)
            if segments[0] == CONTROL:
                connection.send(self._aside(segments).encode(with_body=True))
                continue
            minting = segments == ["api", "oidc", "mint_token"]
            answer = Answer(200, {}, delivers=not minting)
            self._count(answer, size, first=first)
            first = False
            time.sleep(self._latency)
            connection.send(self._minted() if minting else answer.encode(with_body=True))

    def _aside(self, segments: Sequence[str]) -> Answer:
        """The identity endpoint, and ``/-/take``, which has ``exchanges`` as well."""
        match segments[1:]:
            case ["identity"]:
                return Answer(200, {"count": 1, "value": _identity()})
            case ["take"]:
                with self._lock:
                    exchanges, self._exchanges = self._exchanges, 0
                taken = self._control(segments).body
                return Answer(200, {"counts": taken, "exchanges": exchanges})
        return NOT_FOUND

    def _minted(self) -> bytes:
        """A token, which is the whole body."""
        with self._lock:
            self._exchanges += 1
            token = f"minted-for-the-benchmark-{self._exchanges}".encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(token), token)


def _identity() -> str:
    """A JWT that says what a client may look at: for whom it is, and until when."""
    now = int(time.time())
    claims = {"iss": "https://ci.example", "sub": "job", "aud": HOST, "iat": now, "exp": now + 600, "jti": f"{now}"}
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256", "kid": "1", "typ": "JWT"}, claims))
    return ".".join([*(_base64url(part) for part in parts), _base64url(b"no signature")])


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _parsed(head: bytes) -> tuple[list[str], Mapping[str, str]]:
    """The segments of a request's path, and its header fields with their names in lower case."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    segments = request_line.split(" ")[1].partition("?")[0].strip("/").split("/")
    return segments, {name.lower(): value.strip() for name, _, value in fields}


def main() -> None:
    """Write the certificate of the authority, print the port, then serve."""
    parser = argparse.ArgumentParser(description="take identities and uploads on loopback and keep nothing")
    parser.add_argument("folder", type=Path, help=f"where {AUTHORITY} is written")
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS", help="milliseconds before each answer")
    options = parser.parse_args()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(options.folder / AUTHORITY))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    sink = TrustingSink(context, latency=options.latency / 1000)
    print(sink.port, flush=True)
    sink.serve_forever()


if __name__ == "__main__":
    main()
