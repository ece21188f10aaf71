"""Figures of containers: read from what daemons answer, kept in order, gaps left as gaps."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
import pytest
from docker.errors import APIError

from hosts.link.docker_samples import Sample, counters_of, memory_in_use, sample_of
from hosts.link.docker_stats import ContainerStats
from jobs.outcome import CancelToken
from tests.hosts.driving import keep_reading
from tests.hosts.spoken_daemon import folder_for_sockets
from tests.hosts.waiting import until

BEGAN = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def answer(seconds: float = 0, *, cpu: int = 10**9, received: int = 1000) -> dict[str, Any]:
    """As Docker 20.10 with cgroup 1 says it, less what is not read."""
    at = (BEGAN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return {
        "read": at,
        "pids_stats": {"current": 7},
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"major": 8, "minor": 0, "op": "Read", "value": 4096},
                {"major": 8, "minor": 0, "op": "Write", "value": 8192},
                {"major": 8, "minor": 0, "op": "Total", "value": 12288},
            ]
        },
        "cpu_stats": {"cpu_usage": {"total_usage": cpu}, "online_cpus": 2},
        "memory_stats": {
            "usage": 5_000_000,
            "limit": 64_000_000,
            "stats": {"total_inactive_file": 2_000_000, "inactive_file": 1},
        },
        "networks": {
            "eth0": {"rx_bytes": received, "tx_bytes": 10},
            "eth1": {"rx_bytes": 500, "tx_bytes": 20},
        },
    }


def read(now: dict[str, Any], before: dict[str, Any] | None = None) -> Sample:
    counters = counters_of(now)
    assert counters is not None
    return sample_of(now, counters, before=counters_of(before) if before else None)


def test_a_core_and_a_half_busy_is_a_hundred_and_fifty_percent() -> None:
    sample = read(answer(5, cpu=10**9 + 7_500_000_000), before=answer())

    assert sample.cpu_percent == pytest.approx(150)


def test_rates_are_bytes_per_second_over_all_networks() -> None:
    sample = read(answer(5, received=11_000), before=answer())

    assert (sample.received_rate, sample.sent_rate) == (2000, 0)
    assert (sample.disk_read_rate, sample.disk_written_rate) == (0, 0)


def test_the_first_sample_has_amounts_and_no_rates() -> None:
    sample = read(answer())

    assert (sample.memory_bytes, sample.memory_limit, sample.processes) == (
        3_000_000,
        64_000_000,
        7,
    )
    assert (sample.cpu_percent, sample.received_rate, sample.disk_read_rate) == (None, None, None)
    assert not sample.is_gap


def test_a_counter_that_went_back_gives_no_rate() -> None:
    sample = read(answer(5, cpu=5, received=2000), before=answer())

    assert sample.cpu_percent is None
    assert sample.received_rate == 200


def test_memory_of_cgroup_2_is_without_its_inactive_files() -> None:
    assert memory_in_use({"usage": 5_000, "stats": {"inactive_file": 2_000}}) == 3_000
    assert memory_in_use({"usage": 5_000, "stats": {"inactive_file": 6_000}}) == 5_000
    assert memory_in_use({}) is None


def test_a_container_in_the_network_of_its_host_has_no_network_figures() -> None:
    sample = read(answer(5) | {"networks": None}, before=answer())

    assert (sample.received_rate, sample.sent_rate) == (None, None)
    assert sample.cpu_percent == 0


def test_an_answer_for_a_stopped_container_is_none() -> None:
    assert counters_of({"read": "0001-01-01T00:00:00Z", "cpu_stats": {"cpu_usage": {}}}) is None
    assert counters_of({"read": "2026-11-21T08:00:00Z", "memory_stats": {}}) is None
    assert counters_of({}) is None


class Answering(docker.APIClient):
    """A client whose daemon says what a test wants; no daemon is asked."""

    def __init__(self) -> None:
        super().__init__(base_url="unix:///nowhere", version="1.41")
        self.answers: dict[str, dict[str, Any] | Exception] = {}

    def stats(self, container: Any, *_: Any, **__: Any) -> Any:
        told = self.answers[container]
        if isinstance(told, Exception):
            raise told
        return told


@pytest.fixture
def client() -> Answering:
    return Answering()


def test_only_what_is_followed_is_read(client: Answering) -> None:
    stats = ContainerStats()
    client.answers = {"a": answer(), "b": answer()}
    stats.follow("a")

    assert set(stats.read(client)) == {"a"}
    assert stats.history("b") == [] and stats.latest("b") is None


def test_a_container_that_cannot_be_asked_leaves_one_gap_and_no_rate_after_it(
    client: Answering,
) -> None:
    stats = ContainerStats()
    stats.follow("a")
    for told in (
        answer(0),
        answer(5),
        APIError("removal in progress"),
        APIError("removal in progress"),
        answer(20),
        answer(25),
    ):
        client.answers["a"] = told
        stats.read(client)
    history = stats.history("a")

    assert [sample.is_gap for sample in history] == [False, False, True, False, False]
    assert [sample.cpu_percent for sample in history] == [None, 0, None, None, 0]
    assert [sample.at for sample in history] == sorted(sample.at for sample in history)


def test_one_that_stopped_keeps_its_samples_and_one_that_is_gone_does_not(
    client: Answering,
) -> None:
    stats = ContainerStats()
    client.answers = {"a": answer(), "b": answer()}
    stats.follow("a")
    stats.follow("b")
    stats.read(client)
    stats.leave("a")
    stats.forget("b")

    assert len(stats.history("a")) == 2 and stats.latest("a") is None
    assert stats.history("b") == []


def test_an_hour_is_kept_and_no_more(client: Answering) -> None:
    stats = ContainerStats()
    stats.follow("a")
    for number in range(1000):
        client.answers["a"] = answer(number * 5)
        stats.read(client)
    history = stats.history("a")

    assert len(history) == 720
    assert history[-1].at - history[0].at < timedelta(hours=1)
    latest = stats.latest("a")
    assert latest is not None and latest.at == BEGAN + timedelta(seconds=999 * 5)


def test_reading_goes_on_when_the_daemon_is_away_and_ends_when_told() -> None:
    stats, cancel, tries = ContainerStats(), CancelToken(), list[float]()
    stats.follow("a")
    with folder_for_sockets() as folder:

        def connect() -> docker.APIClient:
            tries.append(time.monotonic())
            return docker.APIClient(base_url=f"unix://{folder}/docker.sock", version="1.41")

        thread = threading.Thread(target=keep_reading, args=(connect, stats, cancel), daemon=True)
        thread.start()
        until(lambda: tries)
        began = time.monotonic()
        cancel.cancel()
        thread.join(2)

    assert not thread.is_alive()
    assert time.monotonic() - began < 1
    assert stats.history("a") == []
