"""How links grow: 1, 20 and 200 remote hosts that are held, watched and shown by one `serve`.

`python -m bench.scale_links` prints the second table of docs/scale.md. The hosts are one machine of
the lab many times over: each has a connection, a stream of events, figures and probes of its own.
"""

from __future__ import annotations

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

SIZES = (1, 20, 200)
UP_SECONDS, CPU_SECONDS = 300, 20
MIB = 2**20


def main() -> None:
    place = the_place()
    with (
        tempfile.TemporaryDirectory(prefix="abm-bench-") as folder,
        own_remote(place, sshd_options=SSHD) as own,
        far_abm(Path(folder), place.catalog_url) as abm,
    ):
        abm.add(own)
        abm.installed("tone", starts=True)
        columns = [measured(own, abm, hosts) for hosts in SIZES]
    print("| |", " | ".join(f"{hosts} hosts" for hosts in SIZES), "|")
    print("|---|" + "---|" * len(SIZES))
    for name in columns[0]:
        print(f"| {name} |", " | ".join(column[name] for column in columns), "|", flush=True)


def measured(own: OwnRemote, abm: FarAbm, hosts: int) -> dict[str, str]:
    """Every figure of one size by its name."""
    with only(abm, hosts - 1):
        began = time.monotonic()
        abm.until(lambda: usable(abm) == hosts, UP_SECONDS)
        up = time.monotonic() - began
        memory = settled_memory(abm) / MIB
        assert abm.served.process is not None
        process = psutil.Process(abm.served.process.pid)
        idle = process.cpu_percent(CPU_SECONDS)
        pages = page_milliseconds(abm)
        print(f"{hosts} hosts: {up:.0f} s, {memory:.0f} MiB, {idle:.0f} %", file=sys.stderr)
        delays = change_delays(own, abm)
        return {
            "All are seen after a start": f"{up:.0f} s",
            "Memory of `serve` (PSS)": f"{memory:.0f} MiB",
            "Threads": f"{process.num_threads()}",
            "Processor when nothing happens": f"{idle:.0f} % of a core",
            "Four pages in turns, p50 and p99": (
                f"{statistics.median(pages):.0f} and {quantile(pages, 0.99):.0f} ms"
            ),
            "Change of a container to the page, p50": f"{statistics.median(delays):.0f} ms",
            "the same, p95": f"{quantile(delays, 0.95):.0f} ms",
        }


if __name__ == "__main__":
    main()
