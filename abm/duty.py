"""What one process of all does at a time: the links to the hosts and the clock."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any

from celery import Celery
from celery.beat import EmbeddedService
from django.db import close_old_connections, connection
from django.db.utils import DatabaseError

from abm.beat import Clock
from engines.links.log_reader import LogReader
from engines.links.minder import Minder
from jobs.events import ORIGIN
from jobs.lease import give_up, hold
from jobs.models import Process
from jobs.presence import Presence

log = logging.getLogger(__name__)

LEASE = "link"
LEASE_SECONDS = 6.0
LOOK_SECONDS = 1.0
"""A standby takes over within LEASE_SECONDS + LOOK_SECONDS of the last sign of the one before."""
STOP_SECONDS = 4.0


class Duty:
    """Works while this process holds the lease, stands by while another does."""

    def __init__(self, app: Celery) -> None:
        self.ended = threading.Event()
        self._app = app
        self._presence = Presence(Process.Role.LINK, is_standby=True)
        self._minder: Minder | None = None
        self._clock: Any = None
        self._logs = LogReader()
        self._held_until = 0.0

    def run(self) -> None:
        """Until `ended`; returns when nothing of it runs any more."""
        self._presence.start()
        self._logs.start()
        while not self.ended.is_set():
            close_old_connections()
            self._look()
            self.ended.wait(LOOK_SECONDS)
        self._stop()
        self._logs.ended.cancel()
        with contextlib.suppress(DatabaseError):
            give_up(LEASE, ORIGIN)
        self._presence.end()
        connection.close()

    def _look(self) -> None:
        asked_at = time.monotonic()
        try:
            is_ours = hold(LEASE, ORIGIN, seconds=LEASE_SECONDS)
        except DatabaseError as error:
            log.warning("the lease of the links could not be renewed: %s", error)
            is_ours = time.monotonic() < self._held_until
        else:
            self._held_until = asked_at + LEASE_SECONDS - LOOK_SECONDS if is_ours else 0.0
        if is_ours and self._minder is None:
            self._start()
        elif not is_ours and self._minder is not None:
            self._stop()

    def _start(self) -> None:
        log.info("this link works now")
        self._minder = Minder()
        self._minder.start()
        self._clock = EmbeddedService(self._app, thread=True, scheduler_cls=Clock)
        self._clock.daemon = True
        self._clock.start()
        self._presence.tell(is_standby=False)

    def _stop(self) -> None:
        if self._minder is None:
            return
        log.info("this link stands by")
        self._minder.ended.set()
        self._clock.service.stop(wait=False)
        self._minder.join(STOP_SECONDS)
        self._minder, self._clock = None, None
        self._presence.tell(is_standby=True)
