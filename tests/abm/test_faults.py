"""Workers, Redis and PostgreSQL die under work: nothing is lost, done twice, or stuck.

Shorter and fewer than `make soak` (ABM_SOAK=1) has them.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis as redis_client

from tests.abm.apart import Apart, Browser, Part, apart, wait_until
from tests.fleet.soak import IS_SOAK
from tests.hosts.wheels import make_backend
from tests.servers import NO_POSTGRES, NO_REDIS, has_postgres, has_redis

ENGINES = 20 if IS_SOAK else 6
KILLS = 20 if IS_SOAK else 3
AWAY_SECONDS = 60.0 if IS_SOAK else 5.0
BUILD_SECONDS = 2.0
SETTLE_SECONDS = 120.0
BACK_SECONDS = 15.0

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
]

DEFINITION = """\
schema_version: 2
name: {name}
display_name: {name}
engine_type: tts
upstream: {{name: Slow, url: "https://example.org", license: MIT}}
variants: [{{tag: latest, platforms: [linux/amd64], requires_gpu: false}}]
"""
BACKEND = """\
import time, zipfile, os

def build_wheel(folder, config_settings=None, metadata_directory=None):
    time.sleep({seconds})
    name = "slow-1.0-py3-none-any.whl"
    info = "slow-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("slow.py", "")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""  # noqa: E501


@pytest.fixture(scope="module")
def abm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Web, two workers and link, and engines whose installs take a few seconds each."""
    folder = tmp_path_factory.mktemp("faults")
    for number in range(ENGINES):
        make_engine(folder, f"slow-{number}")
    settings = {
        "ENGINES_DIR": str(folder / "engines"),
        "UV_NO_CACHE": "1",
        "JOBS_PER_HOST": "4",
        "JOB_HEARTBEAT_SECONDS": "0.5",
        "JOB_LOST_SECONDS": "4",
        "JOB_SWEEP_SECONDS": "1",
        "WORKER_DRAIN_SECONDS": "1",
        "LOG_LEVEL": "INFO",
    }
    with apart(folder, **settings) as made:
        for command in ("web", "worker", "worker", "link"):
            made.begin(command)
        wait_until(lambda: Browser(made.port).get("/readyz")[0] == 200, "all parts are up")
        yield made


def make_engine(folder: Path, name: str) -> None:
    """Each builds a package of its own, so that nothing of it is kept for the next."""
    package = make_backend(folder / f"package-{name}", BACKEND.format(seconds=BUILD_SECONDS))
    place = folder / "engines" / "tts" / name
    place.mkdir(parents=True)
    (place / "engine.yaml").write_text(DEFINITION.format(name=name))
    (place / "server.py").write_text("")
    (place / "requirements.txt").write_text(f"slow @ file://{package}\n")


@pytest.fixture
def browser(abm: Apart) -> Browser:
    made = Browser(abm.port)
    made.sign_in()
    return made


def asked(abm: Apart, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(abm.environment["DATABASE_URL"]) as connection:
        return connection.execute(query).fetchall()


def install(abm: Apart, browser: Browser, name: str) -> None:
    ((variant,),) = asked(
        abm,
        "SELECT v.id FROM catalog_variant v JOIN catalog_catalogentry e ON e.id = v.entry_id "
        f"WHERE e.name = '{name}'",
    )
    ((host,),) = asked(abm, "SELECT id FROM hosts_host WHERE host_id = 'local'")
    status, said = browser.post("/engines/install/", variant=str(variant), host=str(host))
    assert status == 302, said[-500:]


def uninstall(abm: Apart, browser: Browser) -> None:
    """Take every engine away, so that the next test may install it again."""
    for (pk,) in asked(abm, "SELECT id FROM engines_engine WHERE state <> 'absent'"):
        browser.post(f"/engines/{pk}/uninstall/")
    wait_until(lambda: not open_jobs(abm), "all are uninstalled", seconds=SETTLE_SECONDS)
    with psycopg.connect(abm.environment["DATABASE_URL"]) as connection:
        connection.execute("TRUNCATE jobs_job CASCADE")


def open_jobs(abm: Apart) -> int:
    ((count,),) = asked(abm, "SELECT count(*) FROM jobs_job WHERE status IN ('queued', 'running')")
    return int(str(count))


def ended(abm: Apart) -> Counter[str]:
    return Counter(str(row[0]) for row in asked(abm, "SELECT status FROM jobs_job"))


def running(abm: Apart) -> int:
    ((count,),) = asked(abm, "SELECT count(*) FROM jobs_job WHERE status = 'running'")
    return int(str(count))


def fetching(abm: Apart) -> int:
    """Jobs in the long part of an install. One cut in mid-query says so and is retried by hand."""
    ((count,),) = asked(
        abm,
        "SELECT count(*) FROM jobs_job WHERE status = 'running' AND steps::text LIKE '%fetch%'",
    )
    return int(str(count))


def states(abm: Apart) -> Counter[str]:
    return Counter(str(row[0]) for row in asked(abm, "SELECT state FROM engines_engine"))


def workers(abm: Apart) -> list[Part]:
    return [part for part in abm.parts if part.command == "worker" and part.is_up]


def is_ready(abm: Apart) -> bool:
    with contextlib.suppress(OSError):
        return Browser(abm.port).get("/readyz")[0] == 200
    return False


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
