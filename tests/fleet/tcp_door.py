"""A port that leads to a daemon's socket, or to another port: all that abm knows of a machine."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 2**16


Far = Path | tuple[str, int]
"""A socket by its path, or an address with its port."""


@contextlib.contextmanager
def tcp_door(
    far: Far, tls: ssl.SSLContext | None = None, *, address: str = "127.0.0.1"
) -> Iterator[str]:
    """The address to be told as DOCKER_HOST."""
    with socket.create_server((address, 0), backlog=64) as listening:
        threading.Thread(target=_accept, args=(listening, far, tls), daemon=True).start()
        yield f"tcp://{address}:{listening.getsockname()[1]}"


def _accept(listening: socket.socket, far: Far, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):  # the test is over
        while True:
            near = listening.accept()[0]
            threading.Thread(target=_serve, args=(near, far, tls), daemon=True).start()


def _serve(plain: socket.socket, place: Far, tls: ssl.SSLContext | None) -> None:
    family = socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET
    with contextlib.suppress(OSError), plain, socket.socket(family) as far:
        far.connect(str(place) if isinstance(place, Path) else place)
        near = tls.wrap_socket(plain, server_side=True) if tls else plain
        with near:
            _carry(near, far)


def _carry(near: socket.socket, far: socket.socket) -> None:
    """In one thread, as TLS wants it, until one side ends."""
    other = {near: far, far: near}
    while True:
        holds = isinstance(near, ssl.SSLSocket) and near.pending()
        for source in [near] if holds else select.select([near, far], [], [])[0]:
            data = source.recv(CHUNK_BYTES)
            if not data:
                return
            other[source].sendall(data)
