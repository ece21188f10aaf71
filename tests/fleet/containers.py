"""Starting containers in tests and asking what is in them."""

from __future__ import annotations

import contextlib
import socket
import urllib.request
from typing import Any

import docker


def free_port() -> int:
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(port: int, path: str, *, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=30) as answer:
        return bytes(answer.read())


def answers(port: int) -> bool:
    try:
        return bool(ask(port, "/health"))
    except OSError:
        return False


def start(client: docker.DockerClient, image: str, **options: Any) -> tuple[Any, int]:
    """A container of an image that is pulled first, with its port published on the loopback."""
    port = free_port()
    client.images.pull(image)
    ports = {"8766/tcp": ("127.0.0.1", port)}
    return client.containers.run(image, detach=True, ports=ports, **options), port
