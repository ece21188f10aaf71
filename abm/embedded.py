"""What an abm without servers beside it runs in threads: worker, clock, link, tail."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import Celery
from celery.beat import EmbeddedService
from celery.worker import WorkController, state
from django.db import close_old_connections, connection
from django.db.utils import DatabaseError

from abm.beat import Clock
from engines.links.minder import Minder
from jobs.events import ORIGIN, push
from jobs.heart import interrupt_running
from jobs.models import Event
from jobs.services import ring_again

log = logging.getLogger(__name__)

TAIL_SECONDS = 1.0
GRACE_SECONDS = 3.0


class Tail(threading.Thread):
    """Pushes what other processes announced: a command in a shell shows up within a second.

    Their jobs are rung for here, because their own queue ends with them.
    """

    def __init__(self) -> None:
        super().__init__(name="abm-tail", daemon=True)
        self.ended = threading.Event()

    def run(self) -> None:
        last = self._newest()
        while not self.ended.wait(TAIL_SECONDS):
            close_old_connections()
            try:
                last = self._push_after(last)
            except DatabaseError as error:
                log.warning("the tail of events waits for the database: %s", error)
        connection.close()

    def _newest(self) -> int:
        return Event.objects.values_list("pk", flat=True).first() or 0

    def _push_after(self, last: int) -> int:
        for event in Event.objects.filter(pk__gt=last).order_by("pk"):
            last = event.pk
            if event.origin != ORIGIN:
                push(event.topic, {"type": event.name, **event.ids})
                if event.name == "job.changed":
                    ring_again(int(event.ids["pk"]))
        return last


class Threads:
    """Everything that runs beside the web server of an embedded abm."""

    def __init__(self, app: Celery) -> None:
        self.worker = WorkController(app=app, hostname="abm@local", pool="threads", quiet=True)
        self.clock: Any = EmbeddedService(app, thread=True, scheduler_cls=Clock)
        self.link = Minder()
        self.tail = Tail()
        self._work = threading.Thread(target=self.worker.start, name="abm-worker", daemon=True)

    def start(self) -> None:
        self._work.start()
        self.clock.start()
        self.link.start()
        self.tail.start()

    def stop(self) -> None:
        """End them within a few seconds; running jobs are told why and end with a sentence."""
        asked = interrupt_running("abm was stopped. Press Retry once it runs again.")
        setattr(state, "should_stop", 0)  # noqa: B010  its type says None
        self.link.ended.set()
        self.tail.ended.set()
        self.clock.service.stop(wait=False)
        until = time.monotonic() + GRACE_SECONDS
        for thread in (self.link, self.tail):
            thread.join(max(0.0, until - time.monotonic()))
        if asked:
            self._work.join(max(0.0, until - time.monotonic()))
