"""Receivers of messages, on this machine: an HTTP server and an SMTP server that keep all."""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class _Sink:
    """A server in a thread, until the block ends."""

    server: socketserver.TCPServer

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class HTTPSink(_Sink):
    """Takes what is posted as JSON, and answers with `status`; with None it hangs up instead."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status: int | None = 200
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                sink.received.append(json.loads(content))
                if sink.status is None:
                    self.close_connection = True
                    return
                self.send_response(sink.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/secret-hook"


class SMTPSink(_Sink):
    """Takes mail; refuses it for recipients in `refused`."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.refused: set[str] = set()
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 sink")
                for line in self.rfile:
                    command = line.decode().strip()
                    verb = command[:4].upper()
                    if verb == "RCPT" and any(name in command for name in sink.refused):
                        self._say("550 no such mailbox")
                    elif verb == "DATA":
                        self._say("354 go on")
                        sink.received.append(self._mail())
                        self._say("250 taken")
                    elif verb == "QUIT":
                        self._say("221 bye")
                        return
                    else:
                        self._say("250 ok")

            def _mail(self) -> str:
                lines = iter(self.rfile.readline, b".\r\n")
                return b"".join(lines).decode()

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}/?from=queue@example.org&to=ann@example.org&mode=insecure"
