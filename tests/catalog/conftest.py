"""A web server that gives the answers that a test tells it to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from catalog.models import CatalogSource
from catalog.reading import read_catalog
from catalog.sync import write_reading
from tests.catalog.factories import make_source

DATA = Path(__file__).parent / "data"
Answer = Callable[[BaseHTTPRequestHandler], None]


class CatalogServer:
    """Serves on loopback; `answers` maps a path to what is done for it."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, dict(self.headers)))
                with contextlib.suppress(ConnectionError):  # abm leaves what is too long
                    server.answers[self.path](self)

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def url(self, path: str = "/catalog.yaml", *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self._http.server_port}{path}"

    def gives(self, content: bytes, *, path: str = "/catalog.yaml", **headers: str) -> None:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            for name, value in headers.items():
                request.send_header(name.replace("_", "-"), value)
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content)

        self.answers[path] = answer

    def redirects(self, path: str, location: str, *, status: int = 302) -> None:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            request.send_header("Location", location)
            request.end_headers()

        self.answers[path] = answer

    def says(self, status: int, *, path: str = "/catalog.yaml") -> None:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            request.end_headers()

        self.answers[path] = answer

    def stop(self) -> None:
        """End it; a second time does nothing."""
        if not self._thread.is_alive():
            return
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def web() -> Iterator[CatalogServer]:
    server = CatalogServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def seed_catalog() -> bytes:
    """The catalog of Audiobook Maker's engines repository."""
    return (DATA / "audiobook-maker-engines.yaml").read_bytes()


@pytest.fixture
def seed(db: None, seed_catalog: bytes) -> CatalogSource:
    source = make_source()
    write_reading(source, read_catalog(seed_catalog, compatible_with="1.1.2"))
    return source
