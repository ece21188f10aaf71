"""Two workers share what takes minutes, and what is quick does not wait behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.abm.apart import Apart, Browser, apart, wait_until
from tests.abm.slow_installs import (
    PARTS,
    SETTINGS,
    SETTLE_SECONDS,
    asked,
    ended,
    fetching,
    install,
    is_ready,
    make_engine,
    open_jobs,
)
from tests.servers import NO_POSTGRES, NO_REDIS, has_postgres, has_redis

ENGINES, THREADS = 6, 4
BUILD_SECONDS = 6.0
WHERE = "SELECT worker, count(*) FROM jobs_job WHERE status = 'running' GROUP BY worker"

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
]


@pytest.fixture
def abm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Of each worker's four threads two do installs, and the host takes four of them."""
    folder = tmp_path_factory.mktemp("sharing")
    for number in range(ENGINES):
        make_engine(folder, f"slow-{number}", BUILD_SECONDS)
    settings = {"ENGINES_DIR": str(folder / "engines"), **SETTINGS, "WORKER_THREADS": str(THREADS)}
    with apart(folder, **settings) as made:
        for command in PARTS:
            made.begin(command)
        wait_until(lambda: is_ready(made), "all parts are up")
        yield made


def test_installs_are_shared_and_a_quick_job_passes_them(abm: Apart) -> None:
    browser = Browser(abm.port)
    browser.sign_in()
    for number in range(ENGINES):
        install(abm, browser, f"slow-{number}")

    wait_until(lambda: fetching(abm) == 4, "as many run as may", seconds=SETTLE_SECONDS)
    assert sorted(count for _, count in asked(abm, WHERE)) == [2, 2]

    page = browser.get("/settings/")[1] + browser.get("/catalog/")[1]
    sync = re.findall(r'"(/catalog/sources/\d+/sync/)"', page)
    browser.post(sync[0])
    wait_until(lambda: ended(abm)["succeeded"] == 1, "the quick one is done", seconds=5)
    assert asked(abm, "SELECT action FROM jobs_job WHERE status = 'succeeded'") == [("sync",)]

    wait_until(lambda: not open_jobs(abm), "all are done", seconds=SETTLE_SECONDS)
    assert ended(abm) == {"succeeded": ENGINES + 1}, abm.said()
