"""The web server: daphne's, with the two things it lacks.

It refuses a body that is too large before storing it, also one that comes in chunks; and asked to
end, it stops listening and finishes the requests under way.
"""

from __future__ import annotations

import json
import signal
import time
from http import HTTPStatus
from typing import Any

import daphne.server
from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.server import Server, reactor
from twisted.web.http import RESPONSES

from abm.connection import Connection
from abm.events_hub import HUB
from accounts.refused import Refused
from accounts.rest import problem

# What comes after a status that the server does not know is "Unknown Status" otherwise.
RESPONSES.update({known.value: known.phrase.encode() for known in HTTPStatus})
RESPONSES[499] = b"Client Closed Request"

DRAIN_SECONDS = 25.0
DISCARD_SECONDS = 1.0
FORM_ALLOWANCE = 1_000_000
"""What a form may add around an upload of the allowed size, in bytes."""


class LimitedRequest(WebRequest):
    """A request whose body is counted while it comes in."""

    limit = 100_000_000
    is_refused = False
    received = 0

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > self.limit:
            self._refuse()
            length = 0
        super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:
        self.received += len(data)
        if not self.is_refused and self.received > self.limit:
            self._refuse()
        if not self.is_refused:
            super().handleContentChunk(data)

    def process(self) -> None:
        if not self.is_refused:
            super().process()

    def _refuse(self) -> None:
        """Answer 413 now; read a little longer so that the sender gets to see the answer."""
        self.is_refused = True
        allowed = (self.limit - FORM_ALLOWANCE) // 1_000_000
        text = (
            f"The upload is larger than {allowed} MB, which is the most that abm takes. "
            "MAX_UPLOAD_MB sets the limit."
        )
        kind, body = "text/plain; charset=utf-8", f"{text}\n".encode()
        # The request has no path of its own before its body has come.
        if self.channel._path.startswith(b"/api/"):
            refused = Refused("BODY_TOO_LARGE", text, status=413, limit=self.limit)
            kind, body = "application/json", f"{json.dumps(problem(refused))}\n".encode()
        head = (
            "HTTP/1.1 413 Content Too Large\r\n"
            f"Content-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode()
        transport = self.channel.transport
        transport.write(head + body)
        reactor.callLater(DISCARD_SECONDS, transport.loseConnection)


class LimitedFactory(HTTPFactory):
    """Makes the protocols of new connections."""

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = type(
            "LimitedRequest", (LimitedRequest,), {"limit": self.server.body_limit}
        )
        return protocol


# daphne's Server.run() makes its factory by this name and offers no other way in.
daphne.server.HTTPFactory = LimitedFactory


class AbmServer(Server):
    """daphne's server with a limit on bodies and a graceful end; `run()` returns when it ended."""

    def __init__(
        self,
        application: Any,
        *,
        host: str,
        port: int,
        max_upload_mb: int,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        address = host.replace(":", "\\:")
        super().__init__(
            application,
            endpoints=[f"tcp:port={port}:interface={address}"],
            signal_handlers=False,
            server_name="",
            websocket_timeout=-1,
        )
        self.body_limit = max_upload_mb * 1_000_000 + FORM_ALLOWANCE
        self.drain_seconds = drain_seconds
        self._drain_until: float | None = None

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if scope["type"] == "http":
            scope["abm.connection"] = Connection(protocol)
        return super().create_application(protocol, scope)

    def listen(self) -> None:
        """Take SIGINT and SIGTERM, then serve until one comes."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked_to_end)
        self.run()

    def _asked_to_end(self, number: int, frame: object) -> None:
        reactor.callFromThread(self._drain)

    def _drain(self) -> None:
        if self._drain_until is not None:
            self.stop()  # asked twice: at once
            return
        self._drain_until = time.monotonic() + self.drain_seconds
        HUB.end()
        for listener in self.listeners:
            listener.addCallback(lambda port: port.stopListening())
        self._end_when_idle()

    def _end_when_idle(self) -> None:
        busy = any(
            isinstance(protocol, WebRequest)
            and "disconnected" not in details
            and details.get("application_instance") is not None
            and not details["application_instance"].done()
            for protocol, details in self.connections.items()
        )
        if busy and time.monotonic() < (self._drain_until or 0):
            reactor.callLater(0.05, self._end_when_idle)
        else:
            self.stop()

    def kill_all_applications(self) -> Any:
        # daphne's own takes for granted that each connection has an application.
        self.connections: dict[Any, Any] = {
            protocol: details
            for protocol, details in self.connections.items()
            if "application_instance" in details
        }
        return super().kill_all_applications()
