"""What many, frozen and dead remote hosts cost an abm; the rows of `bench.remote`."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from bench.docker import change, visiting, watched_page
from bench.figures import Row, at_most
from lab.own import OwnRemote
from tests.browser.conftest import CHROMIUM
from tests.fleet.abm import ours
from tests.fleet.far_abm import FarAbm

HELD, DEAD, LIVING = 50, 10, 10
CHANGES, ROUNDS = 30, 40
PAGES = ("/", "/engines/", "/hosts/", "/jobs/")
NOWHERE = "ssh://anna@192.0.2.7"
USABLE = "state IN ('available', 'available_no_gpu', 'degraded')"
REMOTE = "host_type = 'docker:remote'"
MIB = 2**20


def measure_hosts(own: OwnRemote, abm: FarAbm) -> list[Row]:
    """All of them, one after the other."""
    rows = []
    for measure in (changes, frozen, many, dead):
        print(f"measuring: {measure.__doc__}", file=sys.stderr, flush=True)
        rows += measure(own, abm)
    return rows


class _Run:
    """As `bench.docker.change` asks for it: the daemon over there, past abm."""

    def __init__(self, own: OwnRemote, abm: FarAbm, client: Any) -> None:
        self.own, self.abm, self.client = own, abm, client

    def run(self, verb: str, container: str) -> None:
        getattr(self.client.containers.get(container), verb)()


def changes(own: OwnRemote, abm: FarAbm) -> list[Row]:
    """from a container's end or start on a remote host to the page of a browser"""
    abm.installed("tone", starts=True)
    what = "Change on a remote host to DOM, p50"
    return [at_most(what, [statistics.median(change_delays(own, abm))], "ms", 60, "limit")]


def change_delays(own: OwnRemote, abm: FarAbm, count: int = CHANGES) -> list[float]:
    """Milliseconds until a browser shows the engine `tone`, which runs there, as it is."""
    assert CHROMIUM is not None, "the bench needs Chromium"
    seen: list[tuple[str, float]] = []
    with sync_playwright() as playwright, contextlib.closing(own.remote.daemon.client()) as client:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = watched_page(browser.new_page(base_url=abm.served.url), seen)
        it: Any = _Run(own, abm, client)
        delays = [change(it, page, seen, starts=bool(number % 2)) for number in range(count)]
        browser.close()
        for container in ours(client, "tone"):
            container.start()
    return delays


def frozen(own: OwnRemote, abm: FarAbm) -> list[Row]:
    """a frozen host: when it is told, and the slowest page meanwhile"""
    with visiting(abm) as spent:
        own.freeze()
        begun = time.perf_counter()
        try:
            abm.until_host("unreachable", seconds=40)
            noticed = time.perf_counter() - begun
        finally:
            own.thaw()
    abm.until(lambda: abm.rows("hosts_host", f"{REMOTE} AND {USABLE}"), 60)
    slowest, middle = max(spent) * 1000, statistics.median(spent) * 1000
    row = at_most("Slowest request while a remote host is frozen", [slowest], "ms", 100, "limit")
    words = f"{row.measured}, median {middle:.0f} ms of {len(spent)}"
    return [
        at_most("A frozen host is told", [noticed], "s", 15, "limit"),
        Row(row.what, words, row.beside, row.verdict),
    ]


def many(own: OwnRemote, abm: FarAbm) -> list[Row]:
    """memory for each of 50 remote hosts that are held at once"""
    with only(abm, 0):
        abm.until(lambda: usable(abm) == 1, 60)
        before = settled_memory(abm)
    with only(abm, HELD):
        abm.until(lambda: usable(abm) == 1 + HELD, 120)
        each = (settled_memory(abm) - before) / HELD / MIB
    what = f"Memory for a remote host that is held, watched and shown, of {HELD}"
    return [at_most(what, [each], "MiB", 0.3, "limit")]


def dead(own: OwnRemote, abm: FarAbm) -> list[Row]:
    """pages with 10 dead hosts of 20 beside pages with 20 that live"""
    with only(abm, LIVING + DEAD - 1):
        abm.until(lambda: usable(abm) == LIVING + DEAD, 120)
        alive = page_milliseconds(abm)
    with only(abm, LIVING - 1, dead=DEAD):
        abm.until(lambda: usable(abm) == LIVING, 120)
        away = f"{REMOTE} AND state = 'unreachable'"
        abm.until(lambda: len(abm.rows("hosts_host", away)) == DEAD, 60)
        ill = page_milliseconds(abm)
    ratio = statistics.median(ill) / statistics.median(alive)
    row = at_most("Pages with 10 dead hosts of 20", [ratio], "times", 1.1, "limit")
    middle = statistics.median
    words = f"{row.measured}; {middle(ill):.1f} ms, with 20 that live {middle(alive):.1f} ms"
    return [Row(row.what, words, row.beside, row.verdict)]


@contextlib.contextmanager
def only(abm: FarAbm, more: int, *, dead: int = 0) -> Iterator[None]:
    """A started abm with its remote hosts, `more` like the last and some that are nowhere."""
    abm.served.stop()
    with contextlib.closing(sqlite3.connect(abm.database)) as database, database:
        last = database.execute(f"SELECT max(id) FROM hosts_host WHERE {REMOTE}").fetchone()[0]
        for number in range(more + dead):
            _copy(database, last, "" if number < more else f"{NOWHERE}:{2200 + number}")
        # Or what was seen just before it ended would count as seen.
        database.execute(f"UPDATE hosts_host SET seen_at = NULL WHERE {REMOTE}")
    abm.start()
    try:
        yield
    finally:
        abm.served.stop()
        with contextlib.closing(sqlite3.connect(abm.database)) as database, database:
            _drop_copies(database, last)
        abm.start()


def _copy(database: sqlite3.Connection, like: int, address: str) -> None:
    """One more host like that one; what SQLite has no column for stays as it is."""
    mark = f"docker:{secrets.token_hex(4)}"
    host = _copied(database, "hosts_host", "id", like, host_id=mark, display_name=mark)
    values: dict[str, object] = {"mark": mark, "host_id": host}
    if address:
        values["address"] = address
    _copied(database, "hosts_remoteaccess", "host_id", like, **values)


def _copied(
    database: sqlite3.Connection, table: str, key: str, value: int, **other: object
) -> int | None:
    found = database.execute(f"SELECT * FROM {table} WHERE {key} = ?", (value,))
    names = [column[0] for column in found.description]
    row = {**dict(zip(names, found.fetchone(), strict=True)), "id": None, **other}
    places = ", ".join("?" for _ in row)
    made = database.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", tuple(row.values())
    )
    return made.lastrowid


def _drop_copies(database: sqlite3.Connection, last: int) -> None:
    copies = f"SELECT id FROM hosts_host WHERE {REMOTE} AND id > {last}"
    for table in ("hosts_remoteaccess", "hosts_gpu", "hosts_hostimage", "jobs_job"):
        database.execute(f"DELETE FROM {table} WHERE host_id IN ({copies})")
    database.execute(f"DELETE FROM hosts_host WHERE {REMOTE} AND id > {last}")


def usable(abm: FarAbm) -> int:
    """Remote hosts that were seen since this abm began."""
    return len(abm.rows("hosts_host", f"{REMOTE} AND {USABLE} AND seen_at IS NOT NULL"))


def settled_memory(abm: FarAbm) -> int:
    """Bytes when they do not grow any more, or after half a minute.

    Files that are mapped (libraries) are left out: no host has any of its own, and how much of
    them counts here depends on who else has them open just then.
    """
    assert abm.served.process is not None
    rollup = Path(f"/proc/{abm.served.process.pid}/smaps_rollup")
    last, end = 0, time.monotonic() + 30
    while time.monotonic() < end:
        time.sleep(5)
        now = anonymous(rollup.read_text())
        if abs(now - last) < MIB / 2:
            break
        last = now
    return now


def anonymous(rollup: str) -> int:
    """Bytes of a process's own memory, by the kernel's sum of it."""
    lines = (line.split() for line in rollup.splitlines())
    return next(int(line[1]) * 1024 for line in lines if line[0] == "Pss_Anon:")


def page_milliseconds(abm: FarAbm) -> list[float]:
    """Of each page in turns, with one client."""
    spent = []
    for _ in range(ROUNDS):
        for path in PAGES:
            begun = time.perf_counter()
            abm.http.get(path).raise_for_status()
            spent.append((time.perf_counter() - begun) * 1000)
    return spent
