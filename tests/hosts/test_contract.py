"""What every runner promises, asked of each that abm has and of the fake that tests use."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hosts.runners.base import (
    EngineRunner,
    EngineSpec,
    InstallFailed,
    PortTaken,
    Progress,
    StartFailed,
)
from jobs.outcome import Cancelled, CancelToken
from tests.bundled.running import free_ports
from tests.hosts.drivers import Driver, fake_driver, local_driver
from tests.hosts.tiny_engine import TINY
from tests.hosts.waiting import until


@pytest.fixture(params=["fake", pytest.param("local", marks=pytest.mark.engine)])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    sockets: list[socket.socket] = []
    yield fake_driver() if request.param == "fake" else local_driver(tmp_path, sockets)
    for held in sockets:
        held.close()


@pytest.fixture
def runner(driver: Driver) -> EngineRunner:
    return driver.open()


@pytest.fixture
def spec(runner: EngineRunner, driver: Driver) -> Iterator[EngineSpec]:
    made = EngineSpec(name="tiny", source_dir=TINY, ports=free_ports(3))
    made = driver.complete(made)
    yield made
    runner.stop(made, grace=0.2)


def install(runner: EngineRunner, spec: EngineSpec) -> list[Progress]:
    return list(runner.install(spec, CancelToken()))


def test_the_facts_say_what_the_host_is(runner: EngineRunner) -> None:
    facts = runner.probe()

    assert facts.system and facts.machine in ("amd64", "arm64")
    assert facts.memory_total is None or facts.memory_total > 0


def test_the_steps_of_an_install_add_up_to_the_whole(runner: EngineRunner) -> None:
    assert sum(share for _, share in runner.INSTALL_STEPS.values()) == pytest.approx(1)


def test_an_absent_engine_is_no_error(runner: EngineRunner, spec: EngineSpec) -> None:
    status = runner.status(spec)

    assert not status.is_installed and not status.is_running and status.exit is None
    assert runner.logs(spec, tail=10) == []
    assert runner.size(spec) is None
    assert runner.remove(spec) == 0
    runner.stop(spec, grace=0.1)


def test_an_absent_engine_cannot_be_started(runner: EngineRunner, spec: EngineSpec) -> None:
    with pytest.raises(StartFailed, match=r"Install it again\."):
        runner.start(spec)


def test_an_install_goes_through_its_steps_in_order(runner: EngineRunner, spec: EngineSpec) -> None:
    told = install(runner, spec)

    known = list(runner.INSTALL_STEPS)
    order = [known.index(progress.step) for progress in told]
    assert order == sorted(order)
    assert all(progress.fraction is None or 0 <= progress.fraction <= 1 for progress in told)
    assert runner.status(spec).is_installed
    assert not runner.status(spec).is_running
    assert (runner.size(spec) or 0) > 0


def test_an_install_can_run_twice(runner: EngineRunner, spec: EngineSpec) -> None:
    install(runner, spec)
    install(runner, spec)

    assert runner.status(spec).is_installed


def test_an_incomplete_source_is_refused(
    runner: EngineRunner, driver: Driver, spec: EngineSpec, tmp_path: Path
) -> None:
    spoiled = driver.spoil(spec, tmp_path)

    with pytest.raises(InstallFailed, match=r"tiny.* (has no|does not have) .*\."):
        install(runner, spoiled)

    assert not runner.status(spoiled).is_installed


def test_a_silent_install_ends_within_a_second_of_being_cancelled(
    runner: EngineRunner, driver: Driver, spec: EngineSpec
) -> None:
    held, cancel = driver.hold_install(spec), CancelToken()
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.monotonic())
        cancel.cancel()

    timer = threading.Timer(0.5, ask)
    timer.start()
    with pytest.raises(Cancelled):
        list(runner.install(held, cancel))

    assert time.monotonic() - asked[0] < 1
    assert not runner.status(held).is_installed


def test_a_started_engine_runs_where_it_says(runner: EngineRunner, spec: EngineSpec) -> None:
    install(runner, spec)

    endpoint = runner.start(spec)

    status = runner.status(spec)
    assert endpoint.port in spec.ports and str(endpoint.port) in endpoint.url
    assert status.is_running and status.endpoint == endpoint
    assert status.pid and status.started_at and status.exit is None


def test_a_second_start_leaves_one_engine_on_its_port(
    runner: EngineRunner, spec: EngineSpec
) -> None:
    install(runner, spec)
    first = runner.start(spec)

    assert runner.start(replace(spec, preferred_port=first.port)) == first


def test_another_runner_sees_the_same(
    runner: EngineRunner, driver: Driver, spec: EngineSpec
) -> None:
    install(runner, spec)
    endpoint = runner.start(spec)

    with driver.open() as other:
        assert other.status(spec).endpoint == endpoint
        other.stop(spec, grace=0.5)

    assert not runner.status(spec).is_running


def test_the_preferred_port_is_taken_if_it_is_free(runner: EngineRunner, spec: EngineSpec) -> None:
    install(runner, spec)

    assert runner.start(replace(spec, preferred_port=spec.ports[1])).port == spec.ports[1]


def test_ports_that_others_hold_are_passed_over(
    runner: EngineRunner, driver: Driver, spec: EngineSpec
) -> None:
    install(runner, spec)
    driver.occupy(spec.ports[0])

    assert runner.start(replace(spec, taken_ports=frozenset({spec.ports[1]}))).port == spec.ports[2]


def test_without_a_free_port_the_settings_are_named(
    runner: EngineRunner, driver: Driver, spec: EngineSpec
) -> None:
    install(runner, spec)
    driver.occupy(spec.ports[0])

    with pytest.raises(PortTaken, match="ENGINE_PORT_START"):
        runner.start(replace(spec, ports=spec.ports[:1]))


def test_a_stopped_engine_is_down_and_can_be_stopped_again(
    runner: EngineRunner, spec: EngineSpec
) -> None:
    install(runner, spec)
    runner.start(spec)

    runner.stop(spec, grace=0.5)
    runner.stop(spec, grace=0.5)

    status = runner.status(spec)
    assert status.is_installed and not status.is_running
    assert status.exit is not None and status.exit.reason.endswith(".")


def test_an_engine_that_crashed_says_how_and_can_start_again(
    runner: EngineRunner, driver: Driver, spec: EngineSpec
) -> None:
    install(runner, spec)
    runner.start(spec)
    driver.crash(spec)
    until(lambda: not runner.status(spec).is_running)

    found = runner.status(spec).exit
    assert found is not None and found.signal == signal.SIGKILL and found.at is not None
    assert "9" in found.reason
    runner.start(spec)
    assert runner.status(spec).is_running and runner.status(spec).exit is None


def test_what_an_engine_said_is_read_also_after_it_ended(
    runner: EngineRunner, spec: EngineSpec
) -> None:
    install(runner, spec)
    runner.start(spec)
    until(lambda: runner.logs(spec, tail=5))

    runner.stop(spec, grace=0.5)

    assert runner.logs(spec, tail=5)[0].startswith("tiny begins")
    assert len(runner.logs(spec, tail=1)) == 1


def test_following_gives_old_lines_until_it_is_cancelled(
    runner: EngineRunner, spec: EngineSpec
) -> None:
    install(runner, spec)
    runner.start(spec)
    until(lambda: runner.logs(spec, tail=5))
    cancel = CancelToken()
    lines = runner.follow(spec, tail=5, cancel=cancel)

    first = next(lines)
    cancel.cancel()

    assert first.startswith("tiny begins")
    assert list(lines) == []


def test_removing_ends_the_engine_and_frees_its_bytes(
    runner: EngineRunner, spec: EngineSpec
) -> None:
    install(runner, spec)
    runner.start(spec)

    freed = runner.remove(spec)

    assert freed > 0
    assert not runner.status(spec).is_installed and not runner.status(spec).is_running
    assert runner.remove(spec) == 0


def test_an_orphan_that_is_long_gone_is_no_error(runner: EngineRunner) -> None:
    runner.end_orphan(2**22 - 1, 1.0)


def test_a_runner_can_be_closed_twice(runner: EngineRunner) -> None:
    with runner:
        pass
    runner.close()
