"""Docker that stops, crashes and comes back, and what is done there behind abm's back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from lab.faults import Fault
from lab.fleet import Lab
from lab.made_images import tiny_layer, tiny_run
from tests.fleet.abm import SPEAKS_NOT, Ground, ground, noise, ours
from tests.fleet.soak import IS_SOAK, RESTARTS

pytestmark = pytest.mark.fleet

MB = 10**6
SOON = 5.0
"""Seconds within which a page tells what was done behind abm's back."""
AWAY = ("unreachable", "starting")
"""A socket that is younger than half a minute is taken for that of a daemon still coming up."""
ENDINGS: dict[str, Callable[[Ground], None]] = {
    "crashes": lambda it: it.daemon.kill(),
    "is stopped": lambda it: it.daemon.stop(),
}


@pytest.fixture(scope="module")
def shared(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(lab.place, tmp_path_factory.mktemp("abm")) as made:
        yield made


@pytest.fixture
def it(shared: Ground) -> Iterator[Ground]:
    """With its daemon up, before and after."""
    yield shared
    shared.door.heal()
    shared.daemon.start()
    shared.abm.until_docker(30)


def pulling(it: Ground) -> tuple[str, int]:
    """An engine whose install waits in mid-pull, and its job."""
    (name,) = it.offer(3 * MB)
    last = it.layers_of(name)[-1]
    it.door.fail(Fault(last, method="GET", stalls_after=2 * MB, bytes_per_second=4 * MB))
    job = it.abm.install(name)
    it.abm.until(lambda: it.abm.job(job).progress_done > MB)
    return name, job


def is_truly_running(it: Ground, name: str) -> bool:
    """What Docker says, by a client of the test's own."""
    with contextlib.closing(it.daemon.client()) as client:
        return [one.status for one in ours(client, name)] == ["running"]


def told_of(it: Ground, name: str) -> str:
    """What its page says beside its state."""
    row = it.abm.engine(name)
    return f"{row.error} {row.state_text}"


@pytest.mark.parametrize("way", ENDINGS)
def test_a_daemon_that_ends_in_mid_install_fails_it_and_a_retry_brings_the_engine(
    it: Ground, way: str
) -> None:
    name, job = pulling(it)

    ENDINGS[way](it)
    ended = it.abm.ended(job, 20)
    it.abm.until(lambda: it.abm.host.state in AWAY)
    it.door.heal()
    it.daemon.start()
    it.abm.until_docker(40)

    assert ended.status == "failed"
    assert "Docker on Docker on this machine" not in ended.error
    assert "Try again" in ended.error
    it.abm.until_state(name, "absent")
    again = it.abm.ended(it.abm.retried(job))
    assert again.status == "succeeded", again.error
    assert it.abm.state(name) == "stopped"


def test_abm_starts_while_docker_is_down_and_ends_the_install_that_was_killed(it: Ground) -> None:
    name, job = pulling(it)
    it.abm.served.kill()
    it.daemon.stop()

    it.abm.start()

    ended = it.abm.ended(job, 20)
    assert ended.status == "failed"
    assert "abm was stopped while this ran" in ended.error
    it.door.heal()
    it.daemon.start()
    it.abm.until_docker(40)
    it.abm.until_state(name, "absent")
    assert it.abm.ended(it.abm.retried(job)).status == "succeeded"


@pytest.mark.parametrize("way", ENDINGS)
def test_a_daemon_that_ends_in_mid_start_fails_it_in_words(it: Ground, way: str) -> None:
    name = f"sleeps-{len(way)}"
    run = tiny_run(Cmd=["/bin/busybox", "sleep", "1000"])
    it.pusher.push(f"lab/{name}", "latest", [tiny_layer(), noise(100)], run=run)
    it.shelf.offer(name, abm={"version": "1.0.0", **SPEAKS_NOT})
    it.abm.read_shelf()
    it.abm.installed(name)
    job = it.abm.verb(name, "start").pk
    it.abm.until(lambda: is_truly_running(it, name))

    ENDINGS[way](it)
    ended = it.abm.ended(job, 20)

    assert ended.status == "failed"
    assert "was not pulled" not in ended.error
    it.daemon.start()
    it.abm.until_docker(40)
    it.abm.until(lambda: not it.abm.rows("jobs_job", "finished_at IS NULL"), 40)
    it.abm.until(lambda: not is_truly_running(it, name), 20)
    # The container goes first, then the row hears of it.
    it.abm.until(lambda: it.abm.state(name) in ("failed", "stopped"), 20)


@pytest.mark.parametrize("way", ENDINGS)
def test_after_a_restart_of_docker_every_row_is_true_again(it: Ground, way: str) -> None:
    kept, left, stopped = it.offer(count=3)
    for name in (kept, left):
        it.abm.installed(name, starts=True)
    it.abm.installed(stopped)
    it.abm.post(f"/engines/{it.abm.engine(kept).pk}/keep-running/", keeps="on")

    for _ in range(RESTARTS):
        ENDINGS[way](it)
        it.abm.until(lambda: it.abm.host.state in AWAY)
        it.daemon.start()
        it.abm.until_docker(40)
        # The one that is kept running is up again, by Docker or by abm.
        it.abm.until(lambda: it.abm.state(kept) == "running" and is_truly_running(it, kept), 60)
        it.abm.until(lambda: (it.abm.state(left) == "running") == is_truly_running(it, left), 20)

    assert it.abm.state(left) in ("running", "failed", "stopped")
    assert it.abm.state(stopped) == "stopped"
    assert not it.abm.rows("jobs_job", "finished_at IS NULL")
    for name in (kept, left):
        assert len(ours(it.client, name)) == 1
    if it.abm.state(left) != "running":
        it.abm.done(left, "start")


def test_a_container_removed_by_hand_is_shown_within_seconds_and_can_be_started(
    it: Ground,
) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)
    (container,) = ours(it.client, name)

    container.remove(force=True)
    it.abm.until(lambda: "removed outside of abm" in told_of(it, name), SOON)

    assert it.abm.state(name) in ("stopped", "failed", "missing")
    it.abm.done(name, "start")
    assert is_truly_running(it, name)


def test_an_image_removed_by_hand_makes_the_engine_missing_and_it_can_be_installed_again(
    it: Ground,
) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)

    it.abm.done(name, "stop")
    if not IS_SOAK:
        it.abm.served.stop()  # its start looks at all; a running abm does so once a minute
    for container in ours(it.client, name):
        container.remove()
    it.client.images.remove(it.image(name))
    if not IS_SOAK:
        it.abm.start()
    it.abm.until_state(name, "missing", seconds=75)

    it.abm.installed(name, starts=True)
    assert is_truly_running(it, name)
