"""Cards handed to real containers, and found again in them. The card itself is simulated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from hosts.gpu.asking import Asker
from hosts.gpu.handing import Handed
from hosts.gpu.holding import Share, container_of, shares_of
from hosts.gpu.reading import CardReader
from hosts.gpu.values import Inventory
from hosts.runners.docker.containers import find
from lab import simulated_smi
from lab.fleet import Lab
from lab.own import own_daemon
from tests.fleet.docker_engines import SHELL, Engines, engines_of
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet

CARD = "GPU-3f6c1a52-8f07-4d0b-9a5e-0d9b7c1e2a02"
MIB = 2**20


@pytest.fixture(scope="module")
def engines(lab: Lab, registry_address: str) -> Iterator[Engines]:
    with own_daemon(lab.place) as own, contextlib.closing(own.client()) as client:
        yield engines_of(own, client, registry_address)


@pytest.fixture
def client(engines: Engines) -> docker.APIClient:
    return engines.client.api


def environment_in(engines: Engines, client: docker.APIClient, **container: Any) -> set[str]:
    """What a container's first process sees."""
    spec = engines.started(name="seen", **container)
    try:
        found = find(client, spec)
        assert found is not None
        pid = found["State"]["Pid"]
        return set(Path(f"/proc/{pid}/environ").read_text().split("\0"))
    finally:
        engines.runner.remove(spec, keeps_image=True)


def test_a_chosen_card_is_what_the_container_sees(
    engines: Engines, client: docker.APIClient
) -> None:
    seen = environment_in(engines, client, cards=Handed((CARD,)), command=(*SHELL, "sleep 60"))

    assert {f"NVIDIA_VISIBLE_DEVICES={CARD}", "CUDA_DEVICE_ORDER=PCI_BUS_ID"} <= seen


def test_no_card_is_no_card(engines: Engines, client: docker.APIClient) -> None:
    seen = environment_in(engines, client, command=(*SHELL, "sleep 60"))

    assert "NVIDIA_VISIBLE_DEVICES=void" in seen


def test_a_process_in_a_container_counts_for_its_engine(
    engines: Engines, client: docker.APIClient, tmp_path: Path
) -> None:
    spec = engines.started(
        name="holder", cards=Handed((CARD,)), command=(*SHELL, "sleep 61 & sleep 60")
    )
    try:
        first = engines.runner.status(spec).pid
        assert first is not None
        found = find(client, spec)
        assert found is not None
        until(lambda: len(client.top(found["Id"])["Processes"]) > 2)
        rows = client.top(found["Id"], "-eo pid,comm")["Processes"]
        inner = next(int(pid) for pid, name in rows if name == "sleep" and int(pid) != first)
        simulated_smi.write(tmp_path)
        (tmp_path / "apps.csv").write_text(f"{CARD}, {inner}, 4300, sleep\n{CARD}, 1, 700, init\n")
        reader = CardReader(
            Asker(path=f"{tmp_path}:/usr/bin:/bin"), without=lambda: Inventory(None)
        )

        shares = shares_of(reader.read(), {first: 7})

        assert container_of(inner) == found["Id"]
        assert shares[CARD] == (Share(7, 4300 * MIB, 1), Share(None, 700 * MIB, 1))
    finally:
        engines.runner.remove(spec, keeps_image=True)


def test_one_that_was_started_in_it_later_counts_too(
    engines: Engines, client: docker.APIClient
) -> None:
    spec = engines.started(name="guest", command=(*SHELL, "sleep 60"))
    try:
        first = engines.runner.status(spec).pid
        found = find(client, spec)
        assert first is not None and found is not None
        exec_id = client.exec_create(found["Id"], [*SHELL, "sleep 62"])["Id"]
        client.exec_start(exec_id, detach=True)
        until(lambda: client.exec_inspect(exec_id)["Pid"])
        later = client.exec_inspect(exec_id)["Pid"]

        assert container_of(later) == container_of(first) == found["Id"]
    finally:
        engines.runner.remove(spec, keeps_image=True)
