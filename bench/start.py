"""Start and memory."""

from __future__ import annotations

import time

import psutil

from bench.abm import Bench
from bench.figures import Row, at_most

STARTS = 7
IDLE_SECONDS = 20


def measure_start(bench: Bench) -> list[Row]:
    """from `manage.py serve` to the first answer, not the first start"""
    served = bench.served
    seconds = []
    for _ in range(STARTS):
        served.stop()
        seconds.append(served.start())
    return [
        at_most("Start to first answer", seconds, "s", 2.0, "limit"),
        at_most("Start to first answer", seconds, "s", 1.06, "Dockge 1.5.0, its own machine"),
    ]


def measure_memory(bench: Bench) -> list[Row]:
    """memory (PSS) of everything that runs, idle, without engines"""
    served = bench.served
    served.stop()
    served.start()
    time.sleep(IDLE_SECONDS)
    assert served.process is not None
    root = psutil.Process(served.process.pid)
    pss = sum(process.memory_full_info().pss for process in [root, *root.children(recursive=True)])
    return [at_most("Memory, idle (PSS)", [pss / 2**20], "MiB", 188, "Dockge 1.5.0")]


MEASURES = (measure_start, measure_memory)
