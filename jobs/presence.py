"""Processes say that they are up, so that others, and people, can tell."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.db.utils import DatabaseError

from jobs.events import ORIGIN
from jobs.models import Process

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
GONE_AFTER = timedelta(seconds=20)
FORGOTTEN_AFTER = timedelta(days=1)


def present() -> QuerySet[Process]:
    """The processes that said lately that they are up."""
    return Process.objects.filter(seen_at__gt=Now() - GONE_AFTER)


class Presence(threading.Thread):
    """Says in the database, and by the time of a file, that this process is up.

    The file is for the health check of a container, which must not wait for a database that is
    away: that is not this process's fault, and a new one would not do better.
    """

    def __init__(self, role: Process.Role, *, is_standby: bool = False) -> None:
        super().__init__(name="abm-presence", daemon=True)
        self.is_standby = is_standby
        self._role = role
        self._asked = threading.Event()
        self._ended = False
        self._is_known = False

    def run(self) -> None:
        while not self._ended:
            self._asked.clear()
            self._touch()
            try:
                close_old_connections()
                self._say()
            except DatabaseError as error:
                log.warning("the database does not hear that this process is up: %s", error)
            self._asked.wait(BEAT_SECONDS)
        with contextlib.suppress(DatabaseError):
            Process.objects.filter(name=ORIGIN).delete()
        connection.close()

    def tell(self, *, is_standby: bool) -> None:
        """Whether it works or waits; said at once."""
        self.is_standby = is_standby
        self._asked.set()

    def end(self, *, seconds: float = 2.0) -> None:
        """Say goodbye, if the database hears it so quickly."""
        self._ended = True
        self._asked.set()
        self.join(seconds)

    def _say(self) -> None:
        said = {"seen_at": Now(), "is_standby": self.is_standby}
        if self._is_known and Process.objects.filter(name=ORIGIN).update(**said):
            return
        Process.objects.filter(seen_at__lt=Now() - FORGOTTEN_AFTER).delete()
        first = {
            "role": self._role,
            "machine": socket.gethostname(),
            "version": settings.VERSION,
            "started_at": Now(),
        }
        Process.objects.update_or_create(name=ORIGIN, defaults=said, create_defaults=said | first)
        self._is_known = True

    @staticmethod
    def _touch() -> None:
        if settings.ALIVE_FILE:
            with contextlib.suppress(OSError):
                Path(settings.ALIVE_FILE).touch()
