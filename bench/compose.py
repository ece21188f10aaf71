"""How soon `docker compose up` has a page: needs the lab (make lab-up) and docker-compose."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.api_far import far_lab
from bench.figures import Row, at_most
from lab import stack as servers
from lab.own import own_daemon
from lab.pushing import Pusher
from tests.stack.stack import BUILD_SECONDS, NO_COMPOSE, Stack, has_compose

UPS = 3
LIMIT_SECONDS = 30.0
WHAT = "`docker-compose up` of built images to the first page, from empty volumes"


def measure_up(bench: object = None) -> list[Row]:
    """docker-compose up to the first page"""
    lab = far_lab()
    if lab is None or not has_compose():
        why = "the lab is not up" if lab is None else NO_COMPOSE
        return [Row(WHAT, f"not measured: {why}", f"limit: {LIMIT_SECONDS:g} s", "")]
    with Pusher(lab.place.registry) as pusher:
        servers.ensure(pusher)
    with (
        own_daemon(lab.place) as own,
        tempfile.TemporaryDirectory(prefix="abm-bench-") as folder,
    ):
        stack = Stack(own, Path(folder))
        stack.compose("build", "migrate", seconds=BUILD_SECONDS)
        stack.up()  # brings the servers' images
        spent = []
        for _ in range(UPS):
            stack.close()
            spent.append(stack.up())
        stack.close()
    return [at_most(WHAT, spent, "s", LIMIT_SECONDS, "limit")]


MEASURES = (measure_up,)

if __name__ == "__main__":
    print(measure_up())
