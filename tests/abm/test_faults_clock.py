"""The machine's clock is set forward and back by an hour while jobs run: nothing ends wrongly."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abm.apart import NAME, PASSWORD, Apart, Browser, wait_until
from tests.abm.slow_installs import (
    BACK_SECONDS,
    BUILD_SECONDS,
    ENDED,
    FETCHING,
    SETTINGS,
    SETTLE_SECONDS,
    asked,
    ended,
    fetching,
    install,
    install_by_rows,
    is_ready,
    make_engine,
    open_jobs,
    slow_apart,
    uninstall,
)
from tests.browser.server import Served
from tests.servers import NO_POSTGRES, NO_REDIS, Place, has_postgres, has_redis

HOUR = 3600
JUMPS = {"forward": (0, HOUR), "back": (HOUR, 0)}

pytestmark = [
    pytest.mark.process,
    pytest.mark.faults,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: apt install gcc"),
]


# libfaketime shifts sleeps as well, and those under way end with an error. A machine's do not.
LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long *ahead;

static long seconds_ahead(void) {
    if (!ahead) {
        const char *name = getenv("CLOCK_FILE");
        int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
        void *seen = file < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
        if (file >= 0) close(file);
        if (seen == MAP_FAILED) return 0;
        ahead = seen;
    }
    return *ahead;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, now);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += seconds_ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    if (now) *now = fine.tv_sec;
    return fine.tv_sec;
}
"""


class Clock:
    """The clock of one machine: that of all processes which have its `environment`."""

    def __init__(self, folder: Path) -> None:
        source, library = folder / "clock.c", folder / "clock.so"
        source.write_text(LIBRARY)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self._file = folder / "seconds"
        self._file.write_bytes(struct.pack("l", 0))
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self._file)}

    def set(self, seconds: int) -> None:
        """So much ahead of the true time, at once for every process."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("l", seconds))


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    # PostgreSQL has a user of its own, who may not enter pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="abm-clock-"))
    folder.chmod(0o755)
    yield Clock(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def abm(clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    folder = tmp_path_factory.mktemp("clock")
    place = Place(environment=clock.environment)
    with slow_apart(folder, engines=3, place=place, **clock.environment) as made:
        made.begin("link")
        yield made


@pytest.fixture
def browser(abm: Apart) -> Browser:
    made = Browser(abm.port)
    made.sign_in()
    return made


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps_ends_no_job_no_session_and_no_lease(
    abm: Apart, browser: Browser, clock: Clock, jump: str
) -> None:
    before, after = JUMPS[jump]
    clock.set(before)
    browser.sign_in()
    for number in range(3):
        install(abm, browser, f"slow-{number}")
    wait_until(lambda: fetching(abm) == 3, "they run", seconds=SETTLE_SECONDS)

    clock.set(after)
    assert abs(now(abm) - time.time() - after) < 60  # PostgreSQL sees it

    wait_until(lambda: not open_jobs(abm), "they ended", seconds=SETTLE_SECONDS)
    assert ended(abm) == {"succeeded": 3}, abm.said()
    assert browser.get("/jobs/")[0] == 200
    wait_until(lambda: is_ready(abm), "ready", seconds=BACK_SECONDS)
    assert all(part.is_up for part in abm.parts)
    uninstall(abm, browser)

    is_done_without_a_ring(abm, browser)
    # Whichever link works now, another takes over as quickly as ever when it dies.
    assert takes_over(abm) < BACK_SECONDS
    uninstall(abm, browser)


def is_done_without_a_ring(abm: Apart, browser: Browser) -> None:
    """What nobody rang for is found by the sweep, so abm's own clock rings on."""
    abm.broker.end(signal.SIGKILL)
    install(abm, browser, "slow-0")
    abm.broker.start()
    wait_until(lambda: ended(abm)["succeeded"] == 1, "it is found", seconds=SETTLE_SECONDS)


def now(abm: Apart) -> float:
    ((seconds,),) = asked(abm, "SELECT extract(epoch FROM now())")
    return float(str(seconds))


def takes_over(abm: Apart) -> float:
    """Kill the link that works; the seconds until the other does."""
    working = next(part for part in abm.parts if part.command == "link" and works(part.said()))
    spare = next(part for part in abm.parts if part.command == "link" and part is not working)
    said = len(spare.said())
    working.kill()
    abm.parts.remove(working)
    seconds = wait_until(lambda: "works now" in spare.said()[said:], "the other works")
    abm.begin("link")
    return seconds


def works(log: str) -> bool:
    return log.rfind("works now") > log.rfind("stands by")


@pytest.mark.parametrize("jump", JUMPS)
def test_the_same_in_one_process(tmp_path: Path, clock: Clock, jump: str) -> None:
    before, after = JUMPS[jump]
    clock.set(before)
    make_engine(tmp_path, "slow-0", 3 * BUILD_SECONDS)
    settings = {"ENGINES_DIR": str(tmp_path / "engines"), **SETTINGS, **clock.environment}
    served = Served(tmp_path, ADMIN_USERNAME=NAME, ADMIN_PASSWORD=PASSWORD, **settings)
    served.start()
    try:
        with contextlib.closing(sqlite3.connect(tmp_path / "data" / "abm.sqlite3")) as rows:
            browser = Browser(served.port)
            browser.sign_in()
            install_by_rows(rows, browser, "slow-0")
            wait_until(lambda: rows.execute(FETCHING).fetchone() == (1,), "it runs", seconds=60)

            clock.set(after)

            wait_until(lambda: bool(rows.execute(ENDED).fetchall()), "it ended", seconds=60)
            assert rows.execute(ENDED).fetchall() == [("succeeded",)], served.said()
            assert browser.get("/jobs/")[0] == 200  # still signed in
    finally:
        served.kill()
