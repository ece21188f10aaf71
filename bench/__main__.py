"""`make bench`: what abm costs and how quick it is, measured here and now.

Each figure stands beside a limit of the project or a peer measured in the same run; nothing is a
test, a slow machine fails nothing. The table goes to the screen and to bench/results.md.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench import api, compose, docker, figures, pages, remote, stack, start
from bench.abm import Bench

MEASURES = (
    *start.MEASURES,
    *pages.MEASURES,
    *api.MEASURES,
    *stack.MEASURES,
    *compose.MEASURES,
    *docker.MEASURES,
    *remote.MEASURES,
)
RESULTS = Path(__file__).with_name("results.md")


def machine() -> str:
    """The machine in one line."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = psutil.virtual_memory().total / 1e9
    system = f"{platform.system()} {platform.release()}"
    return (
        f"{cpu}, {psutil.cpu_count()} cores, {memory:.0f} GB, {system}, "
        f"Python {platform.python_version()}"
    )


def main() -> None:
    rows: list[figures.Row] = []
    with tempfile.TemporaryDirectory(prefix="abm-bench-") as folder:
        bench = Bench(Path(folder))
        try:
            for measure in MEASURES:
                print(f"measuring: {measure.__doc__}", file=sys.stderr, flush=True)
                rows += measure(bench)
        finally:
            bench.close()
    table = figures.table(rows)
    print(table)
    head = (
        "# Figures\n\n"
        "Made by `make bench`; everything runs on one machine over loopback, so ratios say more "
        "than numbers.\n\n"
        f"Machine: {machine()}  \nDate: {datetime.now(UTC):%Y-%m-%d}\n\n"
    )
    RESULTS.write_text(f"{head}{table}\n")


if __name__ == "__main__":
    main()
