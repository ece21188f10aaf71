"""A port that leads to a daemon's socket: a Docker of which abm knows its API and nothing else."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from lab.door import pump


@contextlib.contextmanager
def tcp_door(path: Path) -> Iterator[str]:
    """The address to be told as DOCKER_HOST."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        threading.Thread(target=_accept, args=(listening, path), daemon=True).start()
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"


def _accept(listening: socket.socket, path: Path) -> None:
    with contextlib.suppress(OSError):  # the test is over
        while True:
            near = listening.accept()[0]
            threading.Thread(target=_carry, args=(near, path), daemon=True).start()


def _carry(near: socket.socket, path: Path) -> None:
    with near, socket.socket(socket.AF_UNIX) as far:
        try:
            far.connect(str(path))
        except OSError:
            return
        back = threading.Thread(target=pump, args=(far, near), daemon=True)
        back.start()
        pump(near, far)
        back.join()
