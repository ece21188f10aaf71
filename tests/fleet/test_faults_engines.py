"""Engines that misbehave, run through abm: each is told in words, and nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import docker
import pytest

from lab.fleet import Lab
from lab.own import own_daemon
from tests.fleet.abm import FleetAbm, fleet_abm, ours, steps_of

pytestmark = pytest.mark.fleet

PATIENCE = 4.0
"""Seconds that abm gives an engine to answer here."""
PATIENT_PAGE = 2.0
"""No page may take longer, in seconds, whatever an engine does: a wide bound, see bench."""
PAGES = ("/", "/engines/", "/hosts/", "/jobs/", "/healthz")


@dataclass(frozen=True, slots=True)
class Machine:
    """An abm with the lab's catalog, and its Docker."""

    abm: FleetAbm
    client: docker.DockerClient


@pytest.fixture(scope="module")
def it(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("abm")
    patience = {"ENGINE_START_TIMEOUT": f"{PATIENCE:g}"}
    with own_daemon(lab.place) as daemon:
        client = daemon.client()
        with fleet_abm(folder, daemon, lab.place.catalog_url, **patience) as abm:
            yield Machine(abm, client)
        client.close()


@dataclass
class Visitor:
    """Asks for pages all the time, in a thread of its own, while in `with`."""

    abm: FleetAbm
    seconds: list[float] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Visitor:
        self._thread = threading.Thread(target=self._visit)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._is_over.is_set():
            for path in PAGES:
                began = time.monotonic()
                assert self.abm.http.get(path).status_code == 200
                self.seconds.append(time.monotonic() - began)


def is_up(it: Machine, name: str) -> bool:
    return any(one.status == "running" for one in ours(it.client, name))


def test_one_that_never_listens_is_given_up_in_words_and_does_not_run_on(it: Machine) -> None:
    with Visitor(it.abm) as visitor:
        job = it.abm.ended(it.abm.install("never-listens", starts=True), 90)

    assert job.status == "failed"
    assert f"did not open port {it.abm.engine('never-listens').port}" in job.error
    assert f"within {PATIENCE:g} s" in job.error
    assert "never done" in job.error_detail
    assert it.abm.state("never-listens") == "failed"
    assert not is_up(it, "never-listens")
    assert max(visitor.seconds) < PATIENT_PAGE


def test_one_that_dies_at_once_is_told_with_its_last_words(it: Machine) -> None:
    began = time.monotonic()
    job = it.abm.ended(it.abm.install("dies-at-once", starts=True), 90)

    assert job.status == "failed"
    assert time.monotonic() - began < 60
    assert "ended while it was starting" in job.error
    assert "FileNotFoundError" in job.error + job.error_detail
    assert it.abm.state("dies-at-once") == "failed"
    (container,) = ours(it.client, "dies-at-once")
    assert container.status == "exited", "what it wrote is gone"


def test_one_that_loads_slowly_is_waited_for_and_says_so(it: Machine, lab: Lab) -> None:
    it.abm.installed("loads-slowly")
    with Visitor(it.abm) as visitor:
        job = it.abm.verb("loads-slowly", "start")
        row = it.abm.until_state("loads-slowly", "loading")
        it.abm.until_state("loads-slowly", "running", seconds=lab.place.load_seconds + 10)
        ended = it.abm.ended(job.pk)

    assert "Loading" in row.state_text
    assert ended.status == "succeeded"
    assert "Load the model tone" in steps_of(ended)
    assert max(visitor.seconds) < PATIENT_PAGE


def test_a_start_that_is_stopped_while_abm_waits_leaves_nothing_running(it: Machine) -> None:
    it.abm.installed("listens-late")
    job = it.abm.verb("listens-late", "start")
    it.abm.until(lambda: is_up(it, "listens-late"))

    it.abm.post(f"/engines/{it.abm.engine('listens-late').pk}/stop/")

    assert it.abm.ended(job.pk, 15).status == "cancelled"
    it.abm.until_state("listens-late", "stopped")
    assert not is_up(it, "listens-late")


def test_one_that_ignores_sigterm_is_ended_by_force_and_nobody_else_waits(it: Machine) -> None:
    it.abm.installed("ignores-term", starts=True)

    with Visitor(it.abm) as visitor:
        began = time.monotonic()
        job = it.abm.done("ignores-term", "stop")
        took = time.monotonic() - began

    assert job.status == "succeeded"
    assert took > 2, "it ended by itself, so this shows nothing"
    assert it.abm.state("ignores-term") == "stopped"
    (container,) = ours(it.client, "ignores-term")
    assert container.attrs["State"]["ExitCode"] == 137
    assert len(visitor.seconds) > 10
    assert max(visitor.seconds) < PATIENT_PAGE


def test_one_that_dies_while_it_runs_keeps_its_last_words_and_is_started_again(
    it: Machine,
) -> None:
    it.abm.installed("tone", starts=True)
    it.abm.post(f"/engines/{it.abm.engine('tone').pk}/keep-running/", keeps="on")
    (container,) = ours(it.client, "tone")

    container.kill("SIGKILL")
    it.abm.until(lambda: "killed (signal 9)" in it.abm.engine("tone").error)
    row = it.abm.engine("tone")
    it.abm.until_state("tone", "running")

    assert row.state == "failed"
    assert row.error_detail
    assert row.restart_at


def test_one_that_is_started_by_hand_is_taken_up_and_its_model_loaded(it: Machine) -> None:
    if not it.abm.state("tone"):
        it.abm.installed("tone", starts=True)
    it.abm.done("tone", "stop")
    (container,) = ours(it.client, "tone")

    container.start()
    it.abm.until_state("tone", "running")

    assert it.abm.engine("tone").loaded_model
    assert [one.id for one in ours(it.client, "tone")] == [container.id]


def test_one_that_was_loading_when_abm_was_killed_is_taken_up_again(it: Machine, lab: Lab) -> None:
    if not it.abm.state("loads-slowly"):
        it.abm.installed("loads-slowly")
    if it.abm.state("loads-slowly") == "running":
        it.abm.done("loads-slowly", "stop")
    job = it.abm.verb("loads-slowly", "start").pk
    it.abm.until_state("loads-slowly", "loading")
    (container,) = ours(it.client, "loads-slowly")

    it.abm.served.kill()
    it.abm.start()

    assert it.abm.ended(job).status == "failed"
    it.abm.until_state("loads-slowly", "running", seconds=2 * lab.place.load_seconds + 20)
    assert [one.id for one in ours(it.client, "loads-slowly")] == [container.id]
