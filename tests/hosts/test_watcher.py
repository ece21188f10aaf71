"""The watcher: sees a dead engine within two seconds, and tells of a host that is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from hosts.link.watcher import HostLost, HostSeen, Observation, watch
from hosts.runners.base import EngineSpec, HostUnreachable
from hosts.runners.fake import FakeHost, FakeRunner
from hosts.runners.local import LocalRunner
from jobs.outcome import CancelToken
from tests.hosts.driving import waited
from tests.hosts.tiny_engine import answers, install
from tests.hosts.waiting import until

Seen = Iterator[Observation | HostSeen | HostLost]


@pytest.fixture
def cancel() -> Iterator[CancelToken]:
    token = CancelToken()
    yield token
    token.cancel()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hosts.link.watcher.LOOK_SECONDS", 0.01)


@pytest.mark.engine
def test_a_dead_engine_is_seen_within_two_seconds_with_its_reason(
    runner: LocalRunner, spec: EngineSpec, cancel: CancelToken
) -> None:
    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))
    seen = waited(watch(lambda: runner, lambda: [spec], cancel), cancel)
    first = next(look for look in seen if isinstance(look, Observation))
    assert first.name == "tiny" and first.status.is_running and first.status.pid

    os.kill(first.status.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    dead = next(
        look for look in seen if isinstance(look, Observation) and not look.status.is_running
    )

    assert time.monotonic() - killed_at < 2
    assert dead.status.exit is not None and dead.status.exit.signal == signal.SIGKILL


@pytest.mark.usefixtures("quick")
def test_a_lost_host_is_told_and_looked_for_again(cancel: CancelToken) -> None:
    host = FakeHost(fails={"*": HostUnreachable("the machine does not answer.")})
    seen = waited(watch(lambda: FakeRunner(host), lambda: [EngineSpec("tiny")], cancel), cancel)

    assert next(seen) == HostLost("the machine does not answer.")
    host.fails.clear()
    later = [next(seen), next(seen)]

    assert isinstance(later[0], Observation) and isinstance(later[1], HostSeen)


@pytest.mark.usefixtures("quick")
def test_the_host_is_told_as_seen_now_and_then_only(cancel: CancelToken) -> None:
    seen = waited(
        watch(lambda: FakeRunner(FakeHost()), lambda: [EngineSpec("tiny")], cancel), cancel
    )

    kinds = [type(next(seen)) for _ in range(6)]

    assert kinds == [Observation, HostSeen, Observation, Observation, Observation, Observation]


@pytest.mark.usefixtures("quick")
def test_engines_that_come_and_go_are_asked_for_anew(cancel: CancelToken) -> None:
    specs = [EngineSpec("one")]
    seen = waited(watch(lambda: FakeRunner(FakeHost()), lambda: specs, cancel), cancel)
    looks = (look.name for look in seen if isinstance(look, Observation))
    first = next(looks)
    specs[:] = [EngineSpec("two")]

    assert [first, next(looks)] == ["one", "two"]


def test_watching_ends_at_once_when_it_is_cancelled(cancel: CancelToken) -> None:
    seen: Seen = waited(watch(lambda: FakeRunner(FakeHost()), lambda: [], cancel), cancel)
    next(seen)
    cancel.cancel()
    began = time.monotonic()

    assert list(seen) == []
    assert time.monotonic() - began < 0.5
