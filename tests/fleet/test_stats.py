"""Figures of real containers: a busy one, a large one, one that talks, one that stops."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from hosts.link.docker_samples import Sample
from hosts.link.docker_stats import ContainerStats
from hosts.runners.docker.connection import DockerAddress, connect
from jobs.outcome import CancelToken
from lab.fleet import Lab
from lab.own import OwnDaemon, own_daemon
from tests.fleet.containers import ask, free_port
from tests.hosts.driving import keep_reading
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
MEGABYTE = 2**20
BUSY = ["/bin/busybox", "sh", "-c", "while :; do :; done"]


@pytest.fixture(scope="module")
def shared(lab: Lab) -> Iterator[OwnDaemon]:
    with own_daemon(lab.place) as own, contextlib.closing(own.client()) as client:
        client.images.pull(lab.place.image("tiny"))
        yield own


@pytest.fixture
def client(shared: OwnDaemon) -> Iterator[docker.APIClient]:
    with contextlib.closing(shared.client().api) as client:
        yield client
        for row in client.containers(all=True, quiet=True):
            client.remove_container(row["Id"], force=True)


@pytest.fixture
def stats(shared: OwnDaemon) -> Iterator[ContainerStats]:
    """Read each second, in a thread."""
    stats, cancel, address = ContainerStats(), CancelToken(), DockerAddress(shared.host)
    thread = threading.Thread(
        target=keep_reading,
        args=(lambda: connect(address), stats, cancel),
        kwargs={"every": 1.0},
        daemon=True,
    )
    thread.start()
    yield stats
    cancel.cancel()
    thread.join(10)
    assert not thread.is_alive()


def run(client: docker.APIClient, lab: Lab, **options: Any) -> str:
    found = str(client.create_container(lab.place.image("tiny"), **options)["Id"])
    client.start(found)
    return found


def figures(stats: ContainerStats, found: str) -> list[Sample]:
    return [sample for sample in stats.history(found) if not sample.is_gap]


def test_a_busy_container_uses_about_one_core(
    client: docker.APIClient, lab: Lab, stats: ContainerStats
) -> None:
    found = run(client, lab, command=BUSY)
    stats.follow(found)
    until(lambda: len(figures(stats, found)) >= 3, 15)
    first, *later = figures(stats, found)

    assert first.cpu_percent is None and first.processes == 1
    assert all(20 < (sample.cpu_percent or 0) < 115 for sample in later)


def test_memory_is_what_docker_stats_shows(
    client: docker.APIClient, lab: Lab, stats: ContainerStats
) -> None:
    config = client.create_host_config(mem_limit="200m")
    found = run(client, lab, host_config=config)
    stats.follow(found)
    until(lambda: figures(stats, found))
    sample = figures(stats, found)[0]
    told = client.stats(found, stream=False)["memory_stats"]
    shown = told["usage"] - told["stats"].get("total_inactive_file", 0)

    assert sample.memory_limit == 200 * MEGABYTE
    assert sample.memory_bytes is not None
    assert abs(sample.memory_bytes - shown) < MEGABYTE


def test_what_is_asked_of_a_container_shows_in_its_network(
    client: docker.APIClient, lab: Lab, stats: ContainerStats
) -> None:
    port = free_port()
    config = client.create_host_config(port_bindings={8766: ("127.0.0.1", port)})
    found = run(client, lab, host_config=config, ports=[8766])
    stats.follow(found)
    until(lambda: figures(stats, found))
    for _ in range(50):
        ask(port, "/health")
    until(lambda: any((sample.sent_rate or 0) > 500 for sample in figures(stats, found)))

    assert any((sample.received_rate or 0) > 500 for sample in figures(stats, found))


def test_a_stopped_container_leaves_a_gap_and_goes_on_after_it(
    client: docker.APIClient, lab: Lab, stats: ContainerStats
) -> None:
    found = run(client, lab)
    stats.follow(found)
    until(lambda: len(figures(stats, found)) >= 2)
    client.kill(found)
    until(lambda: stats.history(found)[-1].is_gap)
    assert stats.latest(found) is None
    before = len(figures(stats, found))
    client.start(found)
    until(lambda: len(figures(stats, found)) > before)
    again = figures(stats, found)[before]

    assert again.cpu_percent is None and again.memory_bytes is not None
    assert sum(sample.is_gap for sample in stats.history(found)) == 1


def test_one_that_is_removed_while_it_is_read_harms_no_other(
    client: docker.APIClient, lab: Lab, stats: ContainerStats
) -> None:
    gone, stays = run(client, lab), run(client, lab)
    stats.follow(gone)
    stats.follow(stays)
    until(lambda: figures(stats, gone) and figures(stats, stays))
    client.remove_container(gone, force=True)
    before = len(figures(stats, stays))
    until(lambda: len(figures(stats, stays)) > before + 1)

    assert stats.history(gone)[-1].is_gap


def test_many_containers_are_read_every_few_seconds(
    client: docker.APIClient, lab: Lab, shared: OwnDaemon, stats: ContainerStats
) -> None:
    found = [run(client, lab) for _ in range(24)]
    for one in found:
        stats.follow(one)
    until(lambda: all(len(figures(stats, one)) >= 2 for one in found), 30)
    apart = [
        (second.at - first.at).total_seconds()
        for first, second in (figures(stats, one)[:2] for one in found)
    ]
    print(f"24 containers, each read every {sum(apart) / len(apart):.1f} s on this daemon")

    assert max(apart) < 8
