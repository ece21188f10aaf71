"""Workers, Redis and PostgreSQL die under work: nothing is lost, done twice, or stuck.

Shorter and fewer than `make soak` (ABM_SOAK=1) has them.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
import redis as redis_client

from tests.abm.apart import Apart, Browser, wait_until
from tests.abm.slow_installs import (
    BACK_SECONDS,
    BUILD_SECONDS,
    SETTLE_SECONDS,
    asked,
    cut_connections,
    ended,
    fetching,
    install,
    is_ready,
    open_jobs,
    running,
    slow_apart,
    states,
    uninstall,
    workers,
)
from tests.fleet.soak import IS_SOAK
from tests.servers import NO_POSTGRES, NO_REDIS, has_postgres, has_redis

ENGINES = 20 if IS_SOAK else 6
KILLS = 20 if IS_SOAK else 3
CUTS = 30 if IS_SOAK else 10
CUT_PAUSE_SECONDS = 0.3
AWAY_SECONDS = 60.0 if IS_SOAK else 5.0

pytestmark = [
    pytest.mark.process,
    pytest.mark.faults,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
]


@pytest.fixture(scope="module")
def abm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with slow_apart(tmp_path_factory.mktemp("faults"), engines=ENGINES) as made:
        yield made


@pytest.fixture
def browser(abm: Apart) -> Browser:
    made = Browser(abm.port)
    made.sign_in()
    return made


def test_workers_that_are_killed_lose_no_install_and_do_none_twice(
    abm: Apart, browser: Browser
) -> None:
    for number in range(ENGINES):
        install(abm, browser, f"slow-{number}")

    for _ in range(KILLS):
        wait_until(lambda: running(abm) > 0, "something runs", seconds=SETTLE_SECONDS)
        workers(abm)[0].kill()
        abm.begin("worker")
        assert browser.get("/jobs/")[0] == 200
        time.sleep(BUILD_SECONDS / 2)
    wait_until(lambda: not open_jobs(abm), "all jobs ended", seconds=SETTLE_SECONDS)

    # Each job was begun once: what its worker did not finish has a sentence and can be retried.
    told = ended(abm)
    assert sum(told.values()) == ENGINES
    assert set(told) <= {"succeeded", "failed"}
    assert told["failed"] >= 1
    wait_until(
        lambda: states(abm)["stopped"] == told["succeeded"], "engines are as their jobs ended"
    )
    rows = asked(abm, "SELECT id, error FROM jobs_job WHERE status = 'failed'")
    for pk, error in rows:
        assert "Nothing is stuck: press Retry." in str(error)
        assert browser.post(f"/jobs/{pk}/retry/")[0] in {200, 302}
    wait_until(lambda: not open_jobs(abm), "the retries ended", seconds=SETTLE_SECONDS)
    assert states(abm) == {"stopped": ENGINES}, abm.said()
    uninstall(abm, browser)


def test_a_job_that_was_asked_for_while_redis_was_away_is_done_when_it_is_back(
    abm: Apart, browser: Browser
) -> None:
    abm.broker.end(signal.SIGKILL)
    try:
        began = time.monotonic()
        install(abm, browser, "slow-0")
        assert time.monotonic() - began < 5
        for path in ("/", "/engines/", "/jobs/"):
            assert browser.get(path)[0] == 200, path
        assert Browser(abm.port).get("/readyz")[0] == 503
        time.sleep(AWAY_SECONDS)
    finally:
        abm.broker.start()

    wait_until(lambda: is_ready(abm), "ready again", seconds=BACK_SECONDS)
    wait_until(lambda: not open_jobs(abm), "it is done", seconds=SETTLE_SECONDS)
    assert ended(abm) == {"succeeded": 1}, abm.said()
    assert all(part.is_up for part in abm.parts if part.command != "worker")
    uninstall(abm, browser)


def test_a_redis_that_forgets_everything_costs_no_job(abm: Apart, browser: Browser) -> None:
    for number in range(ENGINES):
        install(abm, browser, f"slow-{number}")
    client = redis_client.Redis.from_url(abm.environment["REDIS_URL"])
    client.flushall()
    client.close()

    wait_until(lambda: not open_jobs(abm), "all are done", seconds=SETTLE_SECONDS)
    assert ended(abm) == {"succeeded": ENGINES}
    line = browser.socket("/ws/jobs/")
    line.close()
    uninstall(abm, browser)


def test_a_postgres_that_starts_again_costs_no_job(abm: Apart, browser: Browser) -> None:
    for number in range(3):
        install(abm, browser, f"slow-{number}")
    wait_until(lambda: fetching(abm) == 3, "they run", seconds=SETTLE_SECONDS)

    abm.database.end(signal.SIGINT)  # every connection is cut at once
    abm.database.start()

    wait_until(lambda: is_ready(abm), "ready again", seconds=BACK_SECONDS)
    assert browser.get("/jobs/")[0] == 200
    wait_until(lambda: not open_jobs(abm), "they ended", seconds=SETTLE_SECONDS)
    assert ended(abm) == {"succeeded": 3}, abm.said()
    assert states(abm)["stopped"] == 3
    uninstall(abm, browser)


def test_a_postgres_that_is_away_for_long_is_waited_for_by_every_part(
    abm: Apart, browser: Browser
) -> None:
    install(abm, browser, "slow-0")
    wait_until(lambda: fetching(abm) == 1, "it runs", seconds=SETTLE_SECONDS)

    abm.database.end(signal.SIGINT)
    try:
        assert Browser(abm.port).get("/healthz")[0] == 200
        assert Browser(abm.port).get("/readyz")[0] == 503
        assert browser.get("/jobs/")[0] in {500, 503}
        time.sleep(AWAY_SECONDS)
        parts_up = [part for part in abm.parts if part.is_up]
    finally:
        abm.database.start()

    wait_until(lambda: is_ready(abm), "ready again", seconds=BACK_SECONDS)
    wait_until(lambda: not open_jobs(abm), "it ended", seconds=SETTLE_SECONDS)
    assert ended(abm) == {"succeeded": 1}, abm.said()
    assert all(part.is_up for part in parts_up)
    uninstall(abm, browser)


def test_connections_that_are_cut_in_mid_query_cost_no_job_and_no_page(
    abm: Apart, browser: Browser
) -> None:
    """As a failing-over or restarting proxy of PostgreSQL does, ten times."""
    for number in range(3):
        install(abm, browser, f"slow-{number}")
    pages = failed = 0
    for _ in range(CUTS):
        cut_connections(abm)
        for path in ("/", "/engines/", "/jobs/"):
            pages += 1
            if browser.get(path)[0] != 200 and browser.get(path)[0] != 200:
                failed += 1
        time.sleep(CUT_PAUSE_SECONDS)

    wait_until(lambda: not open_jobs(abm), "they ended", seconds=SETTLE_SECONDS)
    assert ended(abm) == {"succeeded": 3}, abm.said()
    assert states(abm)["stopped"] == 3
    assert failed == 0, f"{failed} of {pages} pages failed twice"
    uninstall(abm, browser)
