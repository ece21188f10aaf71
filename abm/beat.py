"""Celery's clock, which goes on when the machine's is put back."""

from __future__ import annotations

import time
from typing import Any

from celery.beat import Scheduler


class Clock(Scheduler):
    """Rings what abm/clock.py lists.

    The stock one notes when a task is due next: after the machine's clock was put back by an hour
    it would ring nothing for an hour.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._told = time.time()
        super().__init__(*args, **options)

    def tick(self, *args: Any, **options: Any) -> float:
        """Ring what is due; the seconds until the next look."""
        was, self._told = self._told, time.time()
        if self._told < was:
            for entry in self.schedule.values():
                entry.last_run_at = entry.default_now()
            self.populate_heap()
        seconds: float = super().tick(*args, **options)
        return seconds
