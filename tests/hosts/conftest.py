"""What the tests of hosts share."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.runners.base import EngineSpec
from hosts.runners.local import LocalRunner
from tests.bundled.running import free_port
from tests.hosts.tiny_engine import TINY


@pytest.fixture
def runner(tmp_path: Path) -> LocalRunner:
    return LocalRunner(tmp_path)


@pytest.fixture
def spec(tmp_path: Path, runner: LocalRunner) -> Iterator[EngineSpec]:
    first = free_port()
    made = EngineSpec(
        name="tiny",
        source_dir=TINY,
        ports=range(first, first + 1),
        samples_dir=tmp_path / "samples",
        models_dir=tmp_path / "models",
    )
    yield made
    runner.stop(made, grace=0.2)


@pytest.fixture
def held_url() -> Iterator[str]:
    """The address of a wheel on a server that takes the request and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield f"http://127.0.0.1:{silent.getsockname()[1]}/nothing-1-py3-none-any.whl"
