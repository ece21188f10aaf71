"""abm on PostgreSQL and Redis in parts: what it takes when idle, and jobs through two workers.

`python -m bench.stack` prints this table alone.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from bench.api import LEAST, LISTS, MOST_MS, rates
from bench.changes import changes
from bench.figures import Row, at_least, at_most, quantile, table
from tests.abm.apart import Apart, Browser, apart, wait_until
from tests.browser.server import ROOT, free_port

JOBS = 1000
IDLE_SECONDS = 10
ENGINES = 22
PAGES = ("/", "/engines/", "/hosts/", "/catalog/", "/jobs/")
MB = 1024 * 1024
SUBMIT = f"""
from catalog.models import CatalogSource
from jobs.services import submit_job
source = CatalogSource.objects.filter(kind="bundled").get()
for number in range({JOBS}):
    submit_job(action="sync", task="catalog.run_job", subject=str(number), user=None,
               params={{"source": source.pk}})
"""


def measure_stack(_: object = None) -> list[Row]:
    """Web, worker, link, PostgreSQL and Redis; then 1,000 jobs through two workers."""
    with running() as (abm, servers):
        browser = Browser(abm.port)
        browser.sign_in()
        for page in PAGES:  # what web reads for its first page it keeps
            assert browser.get(page)[0] == 200, page
        time.sleep(IDLE_SECONDS)
        parts = [psutil.Process(part.process.pid) for part in abm.parts]
        each = {
            part.command: pss([process]) for part, process in zip(abm.parts, parts, strict=True)
        }
        whole = pss([*parts, *servers])
        detail = ", ".join(f"{name} {size:.0f}" for name, size in each.items())
        rows = [
            at_most(
                f"Idle memory of the stack (PSS; {detail}, PostgreSQL and Redis the rest)",
                [whole],
                "MiB",
                400,
                "limit",
            )
        ]
        abm.begin("worker")
        wait_until(lambda: count(abm, "jobs_process WHERE role = 'worker'") == 2, "two workers")
        return rows + jobs_rows(abm)


def jobs_rows(abm: Apart) -> list[Row]:
    began = time.monotonic()
    manage(abm, "shell", "-v", "0", "-c", SUBMIT)
    wait_until(
        lambda: count(abm, "jobs_job WHERE status IN ('queued', 'running')") == 0,
        "all jobs ended",
        seconds=300,
    )
    seconds = time.monotonic() - began
    done = count(abm, "jobs_job WHERE status = 'succeeded' AND action = 'sync'")
    workers = asked(abm, "SELECT count(DISTINCT worker) FROM jobs_job")
    waits = asked(
        abm,
        "SELECT percentile_cont(0.99) WITHIN GROUP "
        "(ORDER BY extract(epoch FROM started_at - created_at)) FROM jobs_job",
    )
    return [
        at_least(
            f"Jobs of {JOBS} that succeeded, through {workers:g} workers", done, "", JOBS, "all"
        ),
        Row("Jobs a second, submitting included", f"{JOBS / seconds:.0f}", "", ""),
        Row("Queueing, p99", f"{waits:.2f} s", "", ""),
    ]


def manage(abm: Apart, *words: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env=abm.environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def measure_two_webs(_: object = None) -> list[Row]:
    """pages and the API by two web processes, and a change from one to a page of the other"""
    with running() as (abm, _servers):
        other = free_port()
        abm.begin("web", PORT=str(other))
        key = subprocess.run(
            [sys.executable, "-m", "bench.api_rows", str(ENGINES), "0"],
            cwd=ROOT,
            env={**abm.environment, "DJANGO_SETTINGS_MODULE": "abm.settings"},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.split()[-1]
        browser = Browser(abm.port)
        browser.sign_in()
        ports = [abm.port, other]
        rows = []
        for path in (*PAGES, *LISTS):
            is_api = path in LISTS
            header = f"Authorization: Bearer {key}" if is_api else f"Cookie: {browser.cookie_line}"
            rates(ports, header, path)
            rate, slowest = rates(ports, header, path)
            told = f"{rate:.0f} req/s, p99 {slowest:.0f} ms"
            holds = "holds" if rate >= LEAST and slowest < MOST_MS else "MISSED"
            beside = f"limit: {LEAST} req/s, p99 {MOST_MS} ms" if is_api else ""
            rows.append(Row(f"{path}, two webs", told, beside, holds if is_api else ""))
        delays = changes(browser, Browser(other))
        name = "Change by one web to an open page of the other"
        return [
            *rows,
            at_most(f"{name}, p50", [statistics.median(delays)], "ms", 60, "limit"),
            at_most(f"{name}, p99", [quantile(delays, 0.99)], "ms", 200, "limit"),
        ]


@contextlib.contextmanager
def running() -> Iterator[tuple[Apart, list[psutil.Process]]]:
    """The parts, and the processes of their servers."""
    with tempfile.TemporaryDirectory(prefix="abm-bench-") as folder:
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        with apart(Path(folder), WORKER_THREADS="8", MALLOC_ARENA_MAX="2") as abm:
            children = psutil.Process().children(recursive=True)
            servers = [child for child in children if child.pid not in before]
            manage(abm, "prepare")  # by a process of its own, as the compose file has it
            for command in ("web", "worker", "link"):
                abm.begin(command)
            wait_until(lambda: count(abm, "jobs_process") == 3, "all are up")
            postgres = next(one for one in servers if "postgres" in one.name())
            # Its processes for connections came later.
            yield (
                abm,
                [*servers, *(p for p in postgres.children(recursive=True) if p not in servers)],
            )


def pss(processes: list[psutil.Process]) -> float:
    """MiB, each shared page counted once in all."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / MB


def count(abm: Apart, what: str) -> int:
    return int(asked(abm, f"SELECT count(*) FROM {what}"))


def asked(abm: Apart, query: str) -> float:
    with psycopg.connect(abm.environment["DATABASE_URL"]) as connection:
        row = connection.execute(query).fetchone()
    return float(row[0]) if row else 0.0


MEASURES = (measure_stack, measure_two_webs)

if __name__ == "__main__":
    print(table([row for measure in MEASURES for row in measure()]))
