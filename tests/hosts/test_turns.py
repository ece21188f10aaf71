"""Lasting work in turns: few threads for many hosts, and no host that holds up another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from hosts.link import turns as module
from hosts.link.turns import FEW, Turn, Turns
from tests.hosts.waiting import until


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.005)
    monkeypatch.setattr(module, "LONG_PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.02)
    return Turns()


def test_work_that_waits_holds_no_thread(turns: Turns) -> None:
    done = []

    def work(turn: Turn) -> Iterator[float]:
        yield 0.005
        done.append(turn)

    for number in range(50):
        turns.begin(f"host {number}", work)
    most = turns.thread_count
    until(lambda: len(done) == 50)

    assert most <= FEW


def test_hosts_that_answer_nothing_hold_up_no_other(turns: Turns) -> None:
    released, reached = threading.Event(), threading.Event()

    def silent(turn: Turn) -> Iterator[float]:
        released.wait(10)
        yield 0.0

    def living(turn: Turn) -> Iterator[float]:
        reached.set()
        yield 0.0

    for number in range(3 * FEW):
        turns.begin(f"silent {number}", silent)
    turns.begin("living", living)
    is_reached = reached.wait(1)
    released.set()

    assert is_reached
    until(lambda: turns.thread_count <= FEW)


def test_a_turn_comes_when_its_wait_is_over_or_it_is_woken(turns: Turns) -> None:
    came = []

    def work(turn: Turn) -> Iterator[float]:
        for wait in (0.02, 60.0, 60.0):
            came.append(time.monotonic())
            yield wait

    turn = turns.begin("host", work)
    until(lambda: len(came) == 2)
    turn.wake()
    until(lambda: len(came) == 3)

    assert came[1] - came[0] >= 0.02
    assert turn.is_alive


def test_one_that_is_woken_in_its_turn_is_asked_again(turns: Turns) -> None:
    came = []

    def work(turn: Turn) -> Iterator[float]:
        came.append(1)
        turn.wake()
        yield 60.0
        came.append(2)

    turn = turns.begin("host", work)

    assert turn.join(1)
    assert came == [1, 2]


def test_one_that_breaks_off_ends_alone(turns: Turns) -> None:
    def broken(turn: Turn) -> Iterator[float]:
        yield 0.0
        raise ZeroDivisionError

    def sound(turn: Turn) -> Iterator[float]:
        yield from [0.001] * 3

    first, second = turns.begin("broken", broken), turns.begin("sound", sound)

    assert first.join(1) and second.join(1)
    assert not first.is_alive
