"""What the reader of cards does of itself; a real Docker is asked in tests/fleet."""

from __future__ import annotations

from typing import Any

import docker
import pytest
from docker.errors import NotFound

from hosts.runners.base import RunnerError
from hosts.runners.docker.card_helper import CardHelper


class Emptied:
    """A daemon that was set up anew: it knows nothing of what it was asked before."""

    def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        raise NotFound(f"No such exec instance: {exec_id}")

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return []


def test_an_answer_that_was_late_is_forgotten_with_its_container() -> None:
    client: Any = Emptied()
    helper = CardHelper(client, deployment="d", images=tuple, host_name="gpu-box")
    helper._stuck = "0123"

    with pytest.raises(RunnerError, match="Install an engine there first"):
        helper(("nvidia-smi", "-L"))


def test_programs_of_other_makers_are_not_asked_for() -> None:
    nowhere = docker.APIClient(base_url="tcp://127.0.0.1:1", version="1.40")
    helper = CardHelper(nowhere, deployment="d", images=tuple, host_name="gpu-box")

    assert helper(("amd-smi", "list", "--json")).is_missing
