"""The disk of the database is full for a while: pages are read, no job is lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abm.apart import NAME, PASSWORD, Browser, wait_until
from tests.abm.slow_installs import (
    BACK_SECONDS,
    ENDED,
    FETCHING,
    SETTINGS,
    SETTLE_SECONDS,
    ended,
    fetching,
    install,
    install_by_rows,
    is_ready,
    make_engine,
    open_jobs,
    slow_apart,
    states,
)
from tests.browser.server import Served
from tests.fleet.soak import IS_SOAK
from tests.servers import NO_POSTGRES, NO_REDIS, Place, has_postgres, has_redis

DISK_BYTES = 200_000_000
FULL_SECONDS = 60.0 if IS_SOAK else 5.0
PAGES = ("/", "/engines/", "/jobs/", "/hosts/")
ENGINES = 2
WRITES = 500
BUILD_SECONDS = 8.0


def can_mount() -> bool:
    """Whether this is root with the right to mount."""
    if os.geteuid() != 0:
        return False
    with contextlib.suppress(OSError, subprocess.CalledProcessError), small_disk(100_000):
        return True
    return False


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """A file system of its own with so many bytes."""
    folder = Path(tempfile.mkdtemp(prefix="abm-disk-"))
    how = f"size={size},mode=755"
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", how, "abm-disk", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    finally:
        folder.rmdir()


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is free in it meanwhile."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for block in (1_000_000, 4096):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * block):
                    pass
        try:
            yield
        finally:
            ballast.unlink()


pytestmark = [
    pytest.mark.process,
    pytest.mark.faults,
    pytest.mark.skipif(not can_mount(), reason="a small disk of its own needs root"),
]


@pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES)
@pytest.mark.skipif(not has_redis(), reason=NO_REDIS)
def test_a_full_disk_of_postgres_is_waited_for(tmp_path: Path) -> None:
    with (
        small_disk(DISK_BYTES) as disk,
        slow_apart(tmp_path, engines=ENGINES, place=Place(disk)) as abm,
    ):
        browser = Browser(abm.port)
        browser.sign_in()
        for number in range(ENGINES):
            install(abm, browser, f"slow-{number}")
        wait_until(lambda: fetching(abm) == ENGINES, "they run", seconds=SETTLE_SECONDS)

        with full(disk):
            assert all(browser.get(path)[0] == 200 for path in PAGES)
            assert is_told(browser, "The disk of PostgreSQL is full"), abm.said()
            time.sleep(FULL_SECONDS)
            assert all(browser.get(path)[0] == 200 for path in PAGES)
            assert all(part.is_up for part in abm.parts)

        wait_until(lambda: is_ready(abm), "ready again", seconds=BACK_SECONDS)
        wait_until(lambda: not open_jobs(abm), "they ended", seconds=SETTLE_SECONDS)
        assert ended(abm) == {"succeeded": ENGINES}, abm.said()
        assert states(abm)["stopped"] == ENGINES
        assert browser.post("/accounts/logout/")[0] == 302  # it is written to again


def test_a_full_disk_of_sqlite_is_waited_for(tmp_path: Path) -> None:
    make_engine(tmp_path, "slow-0", BUILD_SECONDS)
    settings = {"ENGINES_DIR": str(tmp_path / "engines"), **SETTINGS, "LOG_FORMAT": "console"}
    with small_disk(DISK_BYTES) as disk:
        served = Served(disk, ADMIN_USERNAME=NAME, ADMIN_PASSWORD=PASSWORD, **settings)
        served.log = tmp_path / "log"
        served.start()
        try:
            browser = Browser(served.port)
            browser.sign_in()
            is_installed_over_a_full_disk(served, browser, disk)
        finally:
            served.kill()


def is_installed_over_a_full_disk(served: Served, browser: Browser, disk: Path) -> None:
    database = disk / "data" / "abm.sqlite3"
    with contextlib.closing(sqlite3.connect(database)) as rows:
        install_by_rows(rows, browser, "slow-0")
        wait_until(lambda: rows.execute(FETCHING).fetchone() == (1,), "it runs", seconds=60)

        with full(disk):
            assert all(browser.get(path)[0] == 200 for path in PAGES)
            assert is_told(browser, f"The disk that holds {disk / 'data'} is full"), served.said()
            time.sleep(BUILD_SECONDS / 2)
            assert all(browser.get(path)[0] == 200 for path in PAGES)

        wait_until(lambda: bool(rows.execute(ENDED).fetchall()), "it ended", seconds=60)
        assert rows.execute(ENDED).fetchall() == [("succeeded",)], served.said()
        assert rows.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert browser.post("/accounts/logout/")[0] == 302  # it is written to again


def is_told(browser: Browser, sentence: str) -> bool:
    """Write until more room is needed than there is; whether the sentence says so."""
    for number in range(WRITES):
        status, said = browser.post(
            "/accounts/tokens/add/", name=f"{number} {'x' * 50}", role="viewer"
        )
        if status != 200:
            return status == 507 and sentence in said
    return False
