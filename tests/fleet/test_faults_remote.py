"""A remote host that breaks under an abm: cut off or frozen for a while, without Docker, in use.

`make soak` breaks it for up to two minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lab.fleet import Lab
from lab.own import OwnRemote, own_remote
from tests.fleet.far_abm import FarAbm, far_abm
from tests.fleet.soak import BREAKS

pytestmark = pytest.mark.fleet
ENGINE = "tone"
USABLE = ("available", "available_no_gpu", "degraded")
NOTICED = 11
"""Seconds of silence after which a host is given up: a break that is longer is told."""
FAULTS = [(how, seconds) for seconds in BREAKS for how in ("cut", "freeze")]


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[OwnRemote]:
    with own_remote(lab.place) as made:
        yield made


@pytest.fixture(scope="module")
def abm(lab: Lab, own: OwnRemote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarAbm]:
    with far_abm(tmp_path_factory.mktemp("far"), lab.place.catalog_url) as made:
        made.add(own)
        made.installed(ENGINE, starts=True)
        made.until_state(ENGINE, "running", seconds=60)
        yield made


def break_for(own: OwnRemote, how: str, seconds: float) -> None:
    """The fault, and its end."""
    getattr(own, how)()
    try:
        time.sleep(seconds)
    finally:
        own.mend()
        own.thaw()


@pytest.mark.parametrize(("how", "seconds"), FAULTS)
def test_an_idle_host_is_there_again_with_its_engine(
    abm: FarAbm, own: OwnRemote, how: str, seconds: int
) -> None:
    last = max(row.pk for row in abm.rows("jobs_event"))
    break_for(own, how, seconds)
    abm.until_host(*USABLE, seconds=60)

    def speaks() -> bool:
        form = {"text": "Good morning.", "language": "en"}
        return abm.asked(f"/engines/{abm.engine(ENGINE).pk}/try/", form).status_code == 200

    abm.until(speaks, 60)
    assert abm.state(ENGINE) == "running"
    told = [row.text for row in abm.rows("jobs_event", "id > ? AND name = 'host.changed'", last)]
    assert bool(told) == (seconds > NOTICED), told


@pytest.mark.parametrize(("how", "seconds"), FAULTS)
def test_an_install_lives_through_it(abm: FarAbm, own: OwnRemote, how: str, seconds: int) -> None:
    job = abm.install("large")
    abm.until(lambda: abm.job(job).percent > 5)
    break_for(own, how, seconds)

    ended = abm.ended(job, seconds=120)
    assert ended.status == "succeeded", f"{ended.error}\n{ended.error_detail}"
    abm.done("large", "uninstall")


def test_a_host_whose_docker_stops_is_told_apart_and_found_again(
    abm: FarAbm, own: OwnRemote
) -> None:
    own.stop_docker()
    try:
        abm.until(lambda: abm.host.state not in USABLE, 30)
        # A look that was under way just then says only that its connection broke.
        abm.until(lambda: "Docker on it does not" in abm.host.state_text, 30)
    finally:
        own.start_docker()

    abm.until_host(*USABLE, seconds=60)


def test_a_job_fails_at_once_where_jobs_are_not_to_wait(abm: FarAbm, own: OwnRemote) -> None:
    pk = abm.host.pk
    way = {"url": own.url, "is_always_on": "on"}
    abm.post(f"/hosts/{pk}/way/", **way)
    own.cut()
    try:
        abm.until_host("unreachable", seconds=40)
        job = abm.ended(abm.verb(ENGINE, "restart").pk, 30)
    finally:
        own.mend()
        abm.post(f"/hosts/{pk}/way/", **way, waits_while_away="on")

    assert job.status == "failed"
    assert "gpu-box" in job.error
    abm.until_host(*USABLE, seconds=60)


def test_one_job_fails_at_once_where_who_asked_for_it_chose_so(abm: FarAbm, own: OwnRemote) -> None:
    own.cut()
    try:
        abm.until_host("unreachable", seconds=40)
        page = abm.http.get(f"/engines/{abm.engine(ENGINE).pk}/").text
        job = abm.ended(abm.verb(ENGINE, "restart", when_away="fail").pk, 30)
    finally:
        own.mend()

    assert 'id="engine-when-away"' in page
    assert job.status == "failed"
    assert "gpu-box" in job.error
    abm.until_host(*USABLE, seconds=60)
