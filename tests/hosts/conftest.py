"""What the tests of hosts share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def held_url() -> Iterator[str]:
    """The address of a wheel on a server that takes the request and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield f"http://127.0.0.1:{silent.getsockname()[1]}/nothing-1-py3-none-any.whl"
