"""The parts on PostgreSQL and Redis: two links, each part restarted, an engine seen by all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator

import psycopg
import pytest

from tests.abm.apart import Apart, Browser, Part, apart, heard, wait_until
from tests.browser.server import free_port
from tests.hosts.tiny_engine import TINY
from tests.servers import NO_POSTGRES, NO_REDIS, has_postgres, has_redis

TAKEOVER_SECONDS = 15.0
INSTALL_SECONDS = 60.0
SLEEP_SECONDS = 6
IS_LAUNCHED = (
    "SELECT 1 FROM jobs_jobline WHERE text LIKE 'Started; waiting%'"
    " AND job_id = (SELECT max(id) FROM jobs_job)"
)
PK_OF_SLEEPY = "SELECT id FROM engines_engine WHERE name = 'sleepy'"

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
]


@pytest.fixture(scope="module")
def abm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    folder = tmp_path_factory.mktemp("roles")
    tiny, sleepy = (folder / "engines" / "tts" / name for name in ("tiny", "sleepy"))
    shutil.copytree(TINY, tiny)
    shutil.copytree(TINY, sleepy)
    definition, server = sleepy / "engine.yaml", sleepy / "server.py"
    definition.write_text(definition.read_text().replace("name: tiny", "name: sleepy"))
    server.write_text(f"import time\n\ntime.sleep({SLEEP_SECONDS})\n{server.read_text()}")
    first = free_port()
    settings = {
        "ENGINES_DIR": str(folder / "engines"),
        "ENGINE_PORT_START": str(first),
        "ENGINE_PORT_MAX": str(min(first + 50, 65535)),
        "LOG_LEVEL": "INFO",
        "WORKER_DRAIN_SECONDS": "1",
    }
    with apart(folder, **settings) as made:
        for command in ("web", "worker", "link"):
            made.begin(command)
        yield made
        for mark in (folder / "data" / "engines").glob("*/run.json"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(json.loads(mark.read_text())["pid"], signal.SIGKILL)


@pytest.fixture
def browser(abm: Apart) -> Browser:
    made = Browser(abm.port)
    made.sign_in()
    return made


def part(abm: Apart, command: str) -> Part:
    """The newest one that runs."""
    return [one for one in abm.parts if one.command == command and one.is_up][-1]


def asked(abm: Apart, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(abm.environment["DATABASE_URL"]) as connection:
        return connection.execute(query).fetchall()


def holder(abm: Apart) -> str:
    """The pid of the link that works, as text; empty while none does."""
    rows = asked(abm, "SELECT holder FROM jobs_lease WHERE name = 'link' AND expires_at > now()")
    return str(rows[0][0]).partition("-")[0] if rows else ""


def jobs(abm: Apart, status: str) -> int:
    return int(str(asked(abm, f"SELECT count(*) FROM jobs_job WHERE status = '{status}'")[0][0]))


def install(abm: Apart, browser: Browser, name: str) -> str:
    """Ask for an engine as the dialog does; its page."""
    (variant,) = asked(
        abm,
        "SELECT v.id FROM catalog_variant v JOIN catalog_catalogentry e ON e.id = v.entry_id "
        f"WHERE e.name = '{name}'",
    )[0]
    (host,) = asked(abm, "SELECT id FROM hosts_host WHERE host_id = 'local'")[0]
    status, said = browser.post(
        "/engines/install/", variant=str(variant), host=str(host), starts="on"
    )
    assert status == 302, said
    (pk,) = asked(abm, f"SELECT id FROM engines_engine WHERE name = '{name}'")[0]
    return f"/engines/{pk}/"


def state(abm: Apart, name: str) -> str:
    return str(asked(abm, f"SELECT state FROM engines_engine WHERE name = '{name}'")[0][0])


def test_what_the_link_reads_of_an_engine_is_seen_by_web(abm: Apart, browser: Browser) -> None:
    page = install(abm, browser, "tiny")
    wait_until(lambda: state(abm, "tiny") == "running", "it runs", seconds=INSTALL_SECONDS)
    line = browser.socket(f"/ws{page}?tab=stats")

    # The link's samples come through Redis, the newest to the socket, all of them to the page.
    assert heard(line, b'data-sample="[')
    assert re.search(r"data-history=.\[\[1\d{9}", browser.get(f"{page}?tab=stats")[1])
    line.close()


def test_an_engine_that_dies_is_told_by_the_link_to_an_open_page(
    abm: Apart, browser: Browser
) -> None:
    line = browser.socket("/ws/engines/")
    assert heard(line, b"state-running")
    run = json.loads((abm.folder / "data/engines/tiny/run.json").read_text())

    os.killpg(run["pid"], signal.SIGKILL)

    assert heard(line, b"state-failed")
    line.close()


def test_a_second_link_stands_by_and_takes_over_from_one_that_was_killed(abm: Apart) -> None:
    first = part(abm, "link")
    second = abm.begin("link")
    wait_until(
        lambda: asked(abm, "SELECT 1 FROM jobs_process WHERE role = 'link' AND is_standby") != [],
        "the second stands by",
    )
    assert holder(abm) == str(first.process.pid)

    first.kill()

    seconds = wait_until(lambda: holder(abm) == str(second.process.pid), "takeover")
    assert seconds <= TAKEOVER_SECONDS


def test_a_link_that_ends_politely_leaves_its_place_at_once(abm: Apart) -> None:
    first = part(abm, "link")
    second = abm.begin("link")
    standby = "SELECT 1 FROM jobs_process WHERE role = 'link' AND is_standby"
    wait_until(lambda: asked(abm, standby) != [], "it stands by")

    assert first.end() == 0

    assert wait_until(lambda: holder(abm) == str(second.process.pid), "takeover") < 5


def test_a_job_of_a_worker_that_ends_is_handed_to_the_next(abm: Apart, browser: Browser) -> None:
    first = part(abm, "worker")
    install(abm, browser, "sleepy")
    wait_until(lambda: state(abm, "sleepy") == "starting", "starting", seconds=INSTALL_SECONDS)
    second = abm.begin("worker")

    assert first.end() == 0, first.said()

    wait_until(lambda: state(abm, "sleepy") == "running", "it runs", seconds=INSTALL_SECONDS)
    assert jobs(abm, "failed") == jobs(abm, "cancelled") == 0, second.said()


def test_a_worker_that_was_killed_leaves_a_sentence_and_its_engine_settled(
    abm: Apart, browser: Browser
) -> None:
    worker = part(abm, "worker")
    page = f"/engines/{asked(abm, PK_OF_SLEEPY)[0][0]}/"
    browser.post(f"{page}restart/")
    # Killed earlier, it may leave none that could be found again.
    wait_until(lambda: asked(abm, IS_LAUNCHED) != [], "its process is there")

    worker.kill()
    abm.begin("worker")

    wait_until(lambda: jobs(abm, "failed") == 1, "the sweep ended the job", seconds=40)
    wait_until(lambda: state(abm, "sleepy") == "running", "settled", seconds=40)


def test_web_is_started_again_with_the_session_of_before(abm: Apart, browser: Browser) -> None:
    web = part(abm, "web")

    assert web.end() == 0
    abm.begin("web")

    assert browser.get("/engines/")[0] == 200


def test_two_webs_hear_the_same_events(abm: Apart, browser: Browser) -> None:
    port = free_port()
    abm.begin("web", PORT=str(port))
    other = Browser(port)
    other.sign_in()
    line = other.socket("/ws/engines/")
    assert heard(line, b"state-running")

    browser.post(f"/engines/{asked(abm, PK_OF_SLEEPY)[0][0]}/stop/")

    assert heard(line, b"state-stopped")
    line.close()
