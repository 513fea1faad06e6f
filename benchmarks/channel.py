"""A channel on loopback: serves the files of a folder, so that a benchmark times the client and not the server.

It knows what clients of conda channels ask of a server, and nothing more: ``GET`` and ``HEAD``, connections that stay
open, an ``ETag`` for every file, and ``304`` where ``If-None-Match`` has it. Files go from the page cache to the socket
by ``sendfile``.

Run by itself it prints its port and serves until it is stopped::

    python benchmarks/channel.py FOLDER --latency 50
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from sink import BACKLOG, Connection

TYPES: Final = {".json": "application/json", ".zst": "application/zstd"}
NOT_FOUND: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Channel:
    """Serves *folder* on a free loopback port, one thread a connection, with *latency* seconds before each answer."""

    def __init__(self, folder: Path, latency: float) -> None:
        self._folder = folder.resolve()
        self._latency = latency
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]

    def serve_forever(self) -> None:
        """Accept connections until the process ends."""
        while True:
            sock, _ = self._listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                connection = Connection(sock)
                while head := connection.read_head():
                    time.sleep(self._latency)
                    self._answer(sock, head.decode("latin-1"))
            except (EOFError, ConnectionError):
                return  # the client's run then has fewer files than it should

    def _answer(self, sock: socket.socket, head: str) -> None:
        request_line, *lines = head.split("\r\n")
        method, target, _ = request_line.split(" ")
        path = Path(os.path.normpath(f"{self._folder}/{unquote(target.partition('?')[0])}"))
        if not path.is_relative_to(self._folder) or not path.is_file():
            sock.sendall(NOT_FOUND)
            return
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            tag = f'"{size:x}-{os.fstat(file.fileno()).st_mtime_ns:x}"'
            if any(line.lower().startswith("if-none-match:") and tag in line for line in lines):
                sock.sendall(f"HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n".encode())
                return
            kind = TYPES.get(path.suffix, "application/octet-stream")
            fields = f"Content-Type: {kind}\r\nContent-Length: {size}\r\nETag: {tag}\r\n"
            more = 0 if method == "HEAD" else socket.MSG_MORE if size else 0
            sock.sendall(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode(), more)
            if method != "HEAD":
                sock.sendfile(file)


def main() -> None:
    """Print the port, then serve."""
    parser = argparse.ArgumentParser(description="serve the files of a folder on loopback")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS", help="milliseconds before each answer")
    options = parser.parse_args()
    channel = Channel(options.folder, options.latency / 1000)
    print(channel.port, flush=True)
    channel.serve_forever()


if __name__ == "__main__":
    main()
