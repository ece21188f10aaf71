"""A small real web server that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message

    @property
    def login(self) -> str:
        """What stands in Authorization; a Basic login as `user:password`."""
        text = self.headers.get("Authorization", "")
        scheme, _, rest = text.partition(" ")
        return base64.b64decode(rest).decode() if scheme == "Basic" else text


@dataclass(frozen=True)
class Told:
    """One answer. `drip` sends the body, `drip_headers` the headers, at 10 bytes a second."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: bool = False
    drip_headers: bool = False
    is_silent: bool = False
    length: int | None = None


Script = Callable[[Asked], Told]


class SmallServer(ThreadingHTTPServer):
    """Answers by `script`; a silent answer lasts until the server closes."""

    daemon_threads = True
    block_on_close = False
    script: Script

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.at_once = self.most_at_once = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def count(self, method: str, needle: str) -> int:
        with self.lock:
            return sum(one.method == method and needle in one.path for one in self.asked)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what many of these tests are about."""


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: SmallServer

    def answer(self) -> None:
        parts = urlsplit(self.path)
        asked = Asked(self.command, parts.path, parse_qs(parts.query), self.headers)
        with self.server.lock:
            self.server.asked.append(asked)
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            told = self.server.script(asked)
        finally:
            with self.server.lock:
                self.server.at_once -= 1
        if told.is_silent:
            self.server.closing.wait(30)
            self.close_connection = True
        elif told.drip_headers:
            self.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000)
        else:
            self.tell(told)

    do_GET = do_HEAD = answer

    def tell(self, told: Told) -> None:
        self.send_response(told.status)
        length = len(told.body) if told.length is None else told.length
        for name, value in {"Content-Length": str(length), **told.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if told.drip:
            self.drip(told.body)
        else:
            self.wfile.write(told.body)

    def drip(self, content: bytes) -> None:
        for sign in content:
            self.wfile.write(bytes([sign]))
            self.wfile.flush()
            if self.server.closing.wait(0.1):
                break
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def small_server(script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[SmallServer]:
    """Serve until the end of the block."""
    server = SmallServer()
    server.script = script
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate that 127.0.0.1 made itself: for the server, and for who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    trusting = ssl.create_default_context(cafile=str(file))
    return server, trusting
