"""The heart of a process that does jobs: writes what gathered, beats, hears the wish to cancel."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from django.db import close_old_connections
from django.db.utils import OperationalError
from django.utils import timezone

from jobs.models import Job

if TYPE_CHECKING:
    from jobs.work import JobRun

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
AWAY_SECONDS = 0.5


class Heart(threading.Thread):
    """One thread per process: flushes and beats for every job that this process is doing."""

    def __init__(self) -> None:
        super().__init__(name="abm-heart", daemon=True)
        self.runs: dict[int, JobRun] = {}
        self.lock = threading.Lock()

    def run(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            with self.lock:
                runs = dict(self.runs)
            if not runs:
                continue
            close_old_connections()
            try:
                self._beat(runs)
            except OperationalError as error:
                log.warning("the heartbeat waits for the database: %s", str(error).strip())
                time.sleep(AWAY_SECONDS)
            except Exception:
                # Dying here would lose every job.
                log.exception("the heartbeat could not be written; trying again")

    def _beat(self, runs: dict[int, JobRun]) -> None:
        for run in runs.values():
            run.flush()
        wanted = Job.objects.filter(pk__in=runs, cancel_requested_at__isnull=False)
        for pk in wanted.values_list("pk", flat=True):
            runs[pk].token.cancel("Cancelled.")
        now = timezone.now()
        for pk in Job.objects.filter(pk__in=runs, deadline_at__lt=now).values_list("pk", flat=True):
            runs[pk].token.cancel("It took longer than it may.")


_heart: Heart | None = None
_heart_lock = threading.Lock()


def heart_of_this_process() -> Heart:
    global _heart
    with _heart_lock:
        if _heart is None or not _heart.is_alive():
            _heart = Heart()
            _heart.start()
        return _heart


def being_done() -> set[int]:
    """The jobs that this process is doing."""
    if _heart is None:
        return set()
    with _heart.lock:
        return set(_heart.runs)


def interrupt_running(reason: str, *, hands_on: bool = False) -> int:
    """Ask every job of this process to stop, because the process is about to; return how many.

    With `hands_on` they wait for another worker afterwards.
    """
    if _heart is None:
        return 0
    with _heart.lock:
        runs = list(_heart.runs.values())
    for run in runs:
        run.is_handed_on = hands_on
        run.token.cancel(reason)
    return len(runs)
