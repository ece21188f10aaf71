"""The same abm on PostgreSQL and Redis: web, worker and link apart, the same names of settings."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.abm.apart import Apart, Browser, apart, heard
from tests.servers import NO_POSTGRES, NO_REDIS, has_postgres, has_redis

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
]


@pytest.fixture(scope="module")
def abm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with apart(tmp_path_factory.mktemp("apart")) as made:
        for command in ("web", "worker", "link"):
            made.begin(command)
        yield made


@pytest.fixture
def browser(abm: Apart) -> Browser:
    made = Browser(abm.port)
    made.sign_in()
    return made


def test_the_pages_are_served(browser: Browser) -> None:
    for path in ("/", "/engines/", "/catalog/", "/hosts/", "/jobs/", "/settings/"):
        assert browser.get(path)[0] == 200, path


def test_a_job_is_done_by_the_worker_and_its_pages_hear_of_it(browser: Browser) -> None:
    assert "state-succeeded" in browser.get(done_job(browser))[1]


def done_job(browser: Browser) -> str:
    """The page of a job that the worker has done."""
    page = browser.get("/settings/")[1] + browser.get("/catalog/")[1]
    sync = re.findall(r'"(/catalog/sources/\d+/sync/)"', page)
    assert sync, "the bundled catalog can be synced"
    line = browser.socket("/ws/jobs/")
    status, job = browser.post(sync[0])
    assert status == 302
    # The last word comes from the worker's process, through Redis.
    assert heard(line, b"state-succeeded")
    line.close()
    return job


def test_all_end_when_they_are_asked_to(abm: Apart, browser: Browser) -> None:
    done_job(browser)  # so that all are surely up

    for part in abm.parts:
        assert part.end() == 0, part.said()
    assert "Traceback" not in abm.said()
