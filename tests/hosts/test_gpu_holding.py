"""Which engine holds what of a card: by its processes' parents, and by its container."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.gpu.holding import Share, ancestors_of, container_of, shares_of
from hosts.gpu.values import GpuProcess, Inventory
from tests.hosts.waiting import until

CARD, OTHER = "GPU-1", "GPU-2"
MIB = 2**20
ID = "3f" * 32


def held(*processes: GpuProcess) -> Inventory:
    return Inventory((), processes)


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A process and its grandchild."""
    mark = tmp_path / "pid"
    script = f"sh -c 'sleep 60 & echo $! > {mark}.new; mv {mark}.new {mark}; wait' & wait"
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    try:
        until(mark.exists)
        yield process.pid, int(mark.read_text())
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_a_grandchild_counts_for_the_engine(family: tuple[int, int]) -> None:
    first, grandchild = family
    told = held(GpuProcess(CARD, grandchild, 100 * MIB), GpuProcess(CARD, first, 20 * MIB))

    assert shares_of(told, {first: 7}) == {CARD: (Share(7, 120 * MIB, 2),)}
    assert first in ancestors_of(grandchild)


def test_processes_of_nobody_are_others_and_stand_last(family: tuple[int, int]) -> None:
    told = held(
        GpuProcess(CARD, os.getpid(), 900 * MIB),
        GpuProcess(CARD, None, 1 * MIB),
        GpuProcess(CARD, family[1], 100 * MIB),
        GpuProcess(OTHER, 2**22 + 17, 5 * MIB),
    )

    shares = shares_of(told, {family[0]: 7})

    assert shares[CARD] == (Share(7, 100 * MIB, 1), Share(None, 901 * MIB, 2))
    assert shares[OTHER] == (Share(None, 5 * MIB, 1),)


def test_memory_that_one_process_does_not_tell_makes_the_sum_unknown() -> None:
    told = held(GpuProcess(CARD, 1, 10), GpuProcess(CARD, 2, None))

    assert shares_of(told, {})[CARD] == (Share(None, None, 2),)


@pytest.mark.parametrize(
    "line",
    [
        f"0::/docker/{ID}",
        f"0::/system.slice/docker-{ID}.scope",
        f"12:memory:/user.slice/user-1000.slice/libpod-{ID}.scope/container",
        f"4:devices:/kubepods/burstable/pod5/{ID}",
    ],
)
def test_a_process_in_the_engines_container_counts_for_it(tmp_path: Path, line: str) -> None:
    for pid in (40, 41):
        (tmp_path / f"proc/{pid}").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/cgroup").write_text(f"{line}\n")

    shares = shares_of(held(GpuProcess(CARD, 41, 5)), {40: 7}, root=tmp_path)

    assert container_of(40, root=tmp_path) == ID
    assert shares[CARD] == (Share(7, 5, 1),)


def test_processes_of_another_machine_are_not_looked_for_on_this_one(
    family: tuple[int, int],
) -> None:
    first, grandchild = family
    told = held(GpuProcess(CARD, grandchild, 5), GpuProcess(CARD, 7_000_001, 6))

    shares = shares_of(told, {first: 1, 7_000_001: 2}, root=None)

    assert shares[CARD] == (Share(2, 6, 1), Share(None, 5, 1))


def test_a_process_without_a_container_is_not_taken_for_another_one(tmp_path: Path) -> None:
    for pid in (40, 41):
        (tmp_path / f"proc/{pid}").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/cgroup").write_text("0::/user.slice\n")

    assert shares_of(held(GpuProcess(CARD, 41, 5)), {40: 7}, root=tmp_path)[CARD] == (
        Share(None, 5, 1),
    )
