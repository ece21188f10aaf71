"""What engines use, over the last hour, as the link reads it.

Where the link is a thread of this process the figures stay in its memory: they are worth nothing
after a restart, and a row for each would be the busiest table. Where it is another process, it
leaves them in Redis (engines/links/shared_figures.py).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from engines.links import shared_figures
from engines.stats import Stats
from hosts.link.docker_samples import Sample
from hosts.runners.base import EngineStatus
from jobs.events import hint

EVERY = timedelta(seconds=5)
KEPT = int(timedelta(hours=1) / EVERY)

_lock = threading.Lock()
_sources: dict[int, Callable[[], list[Sample]]] = {}


def tell_from(engine_pk: int, history: Callable[[], list[Sample]]) -> None:
    """From now on the figures of this engine are had from `history`."""
    with _lock:
        _sources[engine_pk] = history


def tell_new(engine_pk: int, sample: Sample) -> None:
    """There is a new sample: other processes get to read it, and open pages look again."""
    if not settings.IS_EMBEDDED:
        shared_figures.add(engine_pk, sample)
    hint("engines", "engine.sampled", pk=engine_pk)


def stats_of(engine_pk: int) -> Stats:
    """The last hour of an engine; no samples where nobody reads any."""
    if not settings.IS_EMBEDDED:
        return Stats(shared_figures.read(engine_pk))
    with _lock:
        history = _sources.get(engine_pk)
    return Stats(history() if history else [])


class ProcessFigures:
    """The figures of engines that run as processes, out of the looks that are taken anyway."""

    def __init__(self) -> None:
        self._rings: dict[int, deque[Sample]] = {}

    def take(self, engine_pk: int, status: EngineStatus) -> None:
        """Keep and tell a sample every five seconds."""
        ring = self._rings.get(engine_pk)
        if ring is None:
            ring = self._rings[engine_pk] = deque(maxlen=KEPT)
            tell_from(engine_pk, lambda: list(ring))
        now = timezone.now()
        if ring and now - ring[-1].at < EVERY:
            return
        if not status.is_running:
            if ring and not ring[-1].is_gap:
                ring.append(Sample(now))
            return
        ring.append(Sample(now, cpu_percent=status.cpu_percent, memory_bytes=status.memory_bytes))
        tell_new(engine_pk, ring[-1])
