"""A port that leads to a daemon's socket: a Docker of which abm knows its API and nothing else."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 2**16


@contextlib.contextmanager
def tcp_door(path: Path, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address to be told as DOCKER_HOST."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        threading.Thread(target=_accept, args=(listening, path, tls), daemon=True).start()
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"


def _accept(listening: socket.socket, path: Path, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):  # the test is over
        while True:
            near = listening.accept()[0]
            threading.Thread(target=_serve, args=(near, path, tls), daemon=True).start()


def _serve(plain: socket.socket, path: Path, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), plain, socket.socket(socket.AF_UNIX) as far:
        far.connect(str(path))
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
