"""Engines whose installs take seconds on an abm in parts, and what became of their jobs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.abm.apart import Apart, Browser, Part, apart, wait_until
from tests.hosts.wheels import make_backend
from tests.servers import Place

BUILD_SECONDS = 2.0
SETTLE_SECONDS = 120.0
BACK_SECONDS = 15.0
PARTS = ("web", "worker", "worker", "link")

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
SETTINGS = {
    "UV_NO_CACHE": "1",
    "JOBS_PER_HOST": "4",
    "JOB_HEARTBEAT_SECONDS": "0.5",
    "JOB_LOST_SECONDS": "4",
    "JOB_SWEEP_SECONDS": "1",
    "WORKER_DRAIN_SECONDS": "1",
    "LOG_LEVEL": "INFO",
}


@contextlib.contextmanager
def slow_apart(
    folder: Path, *, engines: int, place: Place | None = None, **more: str
) -> Iterator[Apart]:
    """Web, two workers and link, and so many engines to install; all are up."""
    for number in range(engines):
        make_engine(folder, f"slow-{number}")
    settings = {"ENGINES_DIR": str(folder / "engines"), **SETTINGS, **more}
    with apart(folder, place=place, **settings) as made:
        for command in PARTS:
            made.begin(command)
        wait_until(lambda: is_ready(made), "all parts are up")
        yield made


def make_engine(folder: Path, name: str, seconds: float = BUILD_SECONDS) -> None:
    """Each builds a package of its own, so that nothing of it is kept for the next."""
    package = make_backend(folder / f"package-{name}", BACKEND.format(seconds=seconds))
    place = folder / "engines" / "tts" / name
    place.mkdir(parents=True)
    (place / "engine.yaml").write_text(DEFINITION.format(name=name))
    (place / "server.py").write_text("")
    (place / "requirements.txt").write_text(f"slow @ file://{package}\n")


def asked(abm: Apart, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(abm.environment["DATABASE_URL"]) as connection:
        return connection.execute(query).fetchall()


def cut_connections(abm: Apart) -> None:
    """As a failing-over or restarting proxy of PostgreSQL does."""
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(abm.environment["DATABASE_URL"]) as connection:
        connection.execute(query)


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
    forget_jobs(abm)


def forget_jobs(abm: Apart) -> None:
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


FETCHING = "SELECT count(*) FROM jobs_job WHERE status = 'running' AND steps LIKE '%fetch%'"
ENDED = "SELECT status FROM jobs_job WHERE status NOT IN ('queued', 'running')"


def install_by_rows(rows: sqlite3.Connection, browser: Browser, name: str) -> None:
    """The same where one process holds all."""
    ((variant,),) = rows.execute(
        "SELECT v.id FROM catalog_variant v JOIN catalog_catalogentry e ON e.id = v.entry_id "
        "WHERE e.name = ?",
        [name],
    ).fetchall()
    ((host,),) = rows.execute("SELECT id FROM hosts_host WHERE host_id = 'local'").fetchall()
    status, said = browser.post("/engines/install/", variant=str(variant), host=str(host))
    assert status == 302, said[-500:]
