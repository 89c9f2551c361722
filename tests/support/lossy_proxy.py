"""A TCP proxy before a Redis server that does to connections what networks do."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from enum import Enum
from typing import Self

NOTHING = {2: b"*-1\r\n", 3: b"_\r\n"}  # a list that is null, by version of the protocol


class Mode(Enum):
    FAITHFUL = "passes everything on"
    SILENT = "stays open and passes nothing on"
    EMPTY = "answers each blocking pop itself, as if there were no message"


class LossyProxy:
    """Forwards a loopback port to another; enter it as a context.

    Args:
        port: where the server listens.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[_Link] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def change(self, mode: Mode) -> None:
        """Sets what becomes of the connections there are; new ones are faithful."""
        for link in self._links:
            link.mode = mode

    @property
    def swallowed(self) -> int:
        """Blocking pops that have not reached the server."""
        return sum(link.swallowed for link in self._links)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for link in self._links:
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:  # closed
                return
            self._links.append(_Link(client, server))


class _Link:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.mode = Mode.FAITHFUL
        self.swallowed = 0
        self._client, self._server = client, server
        self._protocol = 2
        for pump in (self._ask, self._answer):
            threading.Thread(target=pump, daemon=True).start()

    def close(self) -> None:
        for end in (self._client, self._server):
            end.close()

    def _ask(self) -> None:
        while data := _received(self._client):
            if data.startswith(b"*") and b"HELLO\r\n$1\r\n3" in data:
                self._protocol = 3
            if self.mode is Mode.EMPTY and b"BRPOP" in data:
                self.swallowed += 1
                time.sleep(0.5)
                _send(self._client, NOTHING[self._protocol])
            elif self.mode is not Mode.SILENT:
                _send(self._server, data)
        self._server.close()

    def _answer(self) -> None:
        while data := _received(self._server):
            if self.mode is not Mode.SILENT:
                _send(self._client, data)
        self._client.close()


def _send(end: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # it has been closed meanwhile
        end.sendall(data)


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(65536)
    except OSError:
        return b""
