"""A mail server of a test's own: it takes what comes by SMTP (RFC 5321) and keeps it."""

from __future__ import annotations

import socketserver
import threading
from email import message_from_bytes
from email.message import Message
from typing import Any


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 postbox\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self._keep()
            elif verb == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 yes\r\n")

    def _keep(self) -> None:
        lines = iter(self.rfile.readline, b".\r\n")
        self.server.mails.append(message_from_bytes(b"".join(lines)))  # type: ignore[attr-defined]
        self.server.has_come.set()  # type: ignore[attr-defined]
        self.wfile.write(b"250 kept\r\n")


class Postbox(socketserver.ThreadingTCPServer):
    """Listens on a free port of this machine until `end`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[Message[Any, Any]] = []
        self.has_come = threading.Event()
        threading.Thread(target=self.serve_forever, args=[0.05], daemon=True).start()

    @property
    def url(self) -> str:
        return f"smtp-plain://127.0.0.1:{self.server_address[1]}"

    def next(self) -> Message[Any, Any]:
        """The next mail, waited for."""
        assert self.has_come.wait(10), "no mail came"
        self.has_come.clear()
        return self.mails[-1]

    def end(self) -> None:
        self.shutdown()
        self.server_close()
