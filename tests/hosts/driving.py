"""Drives what says how long it waits, as hosts.link.turns does, for one test alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import docker

from hosts.link.docker_events import ContainerWatch, Pace
from hosts.link.docker_seen import Seen
from hosts.link.docker_stats import ContainerStats, reading_steps
from jobs.outcome import CancelToken

Told = TypeVar("Told")


def waited(steps: Iterator[Told | float], cancel: CancelToken) -> Iterator[Told]:
    """What it tells; between that it is let wait, until cancelled."""
    for told in steps:
        if not isinstance(told, float):
            yield told
        elif cancel.wait(told):
            return


def watch_containers(
    connect: Callable[[], docker.APIClient],
    deployment: str,
    cancel: CancelToken,
    *,
    host_name: str = "this machine",
    pace: Pace | None = None,
) -> Iterator[Seen]:
    """A watch in a thread of its own; what it tells is had one by one."""
    rung, seen = threading.Event(), queue.SimpleQueue[Seen | None]()
    watch = ContainerWatch(connect, deployment, rung.set, host_name=host_name, pace=pace)

    def run() -> None:
        for told in watch.steps():
            if isinstance(told, float):
                rung.wait(told)
                rung.clear()
            else:
                seen.put(told)
        seen.put(None)

    def end() -> None:
        watch.end()
        seen.put(None)

    cancel.on_cancel(end)
    threading.Thread(target=run, daemon=True).start()
    while (told := seen.get()) is not None and not cancel.is_cancelled:
        yield told


def keep_reading(
    connect: Callable[[], docker.APIClient],
    stats: ContainerStats,
    cancel: CancelToken,
    **options: Any,
) -> None:
    """Read until cancelled."""
    for seconds in reading_steps(connect, stats, **options):
        if cancel.wait(seconds):
            return
