"""How links grow: remote hosts that are held, watched and shown by one `serve`.

`python -m bench.scale_links [1 20 50 200]` prints the second table of docs/scale.md in less than
four minutes. One host has an engine that changes; the others are one quiet machine many times
over, each with a connection, a stream of events, figures and probes of its own.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.figures import quantile
from bench.remote import SSHD
from bench.remote_hosts import change_delays, only, page_milliseconds, settled_memory, usable
from lab.own import OwnRemote, own_remote
from lab.place import the_place
from tests.fleet.far_abm import FarAbm, far_abm

SIZES = (1, 20, 50, 200)
UP_SECONDS, CPU_SECONDS, ALL_SECONDS, CHANGES = 60, 10, 240, 10
MIB = 2**20
Column = dict[str, str]


def main(sizes: tuple[int, ...]) -> None:
    place, until = the_place(), time.monotonic() + ALL_SECONDS
    columns: dict[int, Column] = {}
    with (
        tempfile.TemporaryDirectory(prefix="abm-bench-") as folder,
        own_remote(place, sshd_options=SSHD) as own,
        own_remote(place, sshd_options=SSHD) as quiet,
        far_abm(Path(folder), place.catalog_url) as abm,
    ):
        abm.add(own)
        abm.installed("tone", starts=True)
        for hosts in sizes:
            if hosts > 1 and len(abm.rows("hosts_host", "host_type = 'docker:remote'")) == 1:
                abm.add(quiet)
            if time.monotonic() > until:
                print(f"{hosts} hosts: left out, {ALL_SECONDS} s are over", file=sys.stderr)
                continue
            columns[hosts] = column = measured(own, abm, hosts)
            print(f"{hosts} hosts: {column}", file=sys.stderr, flush=True)
    print("| |", " | ".join(f"{hosts} hosts" for hosts in columns), "|")
    print("|---|" + "---|" * len(columns))
    for name in next(iter(columns.values())):
        print(f"| {name} |", " | ".join(column[name] for column in columns.values()), "|")


def measured(own: OwnRemote, abm: FarAbm, hosts: int) -> Column:
    """Every figure of one size by its name; what is too slow to be measured says so."""
    with only(abm, max(0, hosts - 2)):
        began = time.monotonic()
        with contextlib.suppress(AssertionError):
            abm.until(lambda: usable(abm) == hosts, UP_SECONDS)
        up, seen = time.monotonic() - began, usable(abm)
        memory = settled_memory(abm) / MIB
        assert abm.served.process is not None
        process = psutil.Process(abm.served.process.pid)
        idle = process.cpu_percent(CPU_SECONDS)
        pages = page_milliseconds(abm)
        column = {
            "All are seen after a start": f"{up:.1f} s" if seen == hosts else f"{seen} of {hosts}",
            "Memory of `serve` of its own": f"{memory:.0f} MiB",
            "Threads": f"{process.num_threads()}",
            "Processor when nothing happens": f"{idle:.0f} % of a core",
            "Four pages in turns, p50 and p99": (
                f"{statistics.median(pages):.0f} and {quantile(pages, 0.99):.0f} ms"
            ),
        }
        what = "Change of a container to the page, p50 and slowest of ten"
        try:
            delays = change_delays(own, abm, CHANGES)
        except AssertionError as error:
            return {**column, what: str(error)}
        return {**column, what: f"{statistics.median(delays):.0f} and {max(delays):.0f} ms"}


if __name__ == "__main__":
    main(tuple(int(word) for word in sys.argv[1:]) or SIZES)
