"""`manage.py worker`: the jobs, for an abm on PostgreSQL and Redis."""

from __future__ import annotations

import os
import threading
from typing import Any

from celery.signals import worker_shutting_down
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from abm.celery import app
from abm.schema import wait_for_schema
from jobs.heart import interrupt_running
from jobs.models import Process
from jobs.presence import Presence

TIDY_SECONDS = 10.0
"""For jobs that are handed on to tidy up. The sweep ends what is not even done then."""
HANDED_ON = "This worker was asked to end. Another one begins the job anew."


class Command(BaseCommand):
    help = "Do the jobs that pages ask for; as many of these processes as you like."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.IS_EMBEDDED:
            raise CommandError("Without REDIS_URL, manage.py serve does the jobs too.")
        wait_for_schema()
        presence = Presence(Process.Role.WORKER)
        presence.start()
        worker_shutting_down.connect(_end_in_time, weak=False)
        app.Worker(
            pool="threads",
            concurrency=settings.WORKER_THREADS,
            loglevel=settings.LOG_LEVEL,
            quiet=True,
        ).start()
        presence.end()


def _end_in_time(**_: Any) -> None:
    """Celery itself would wait for a running install without limit."""
    for seconds, act in (
        (settings.WORKER_DRAIN_SECONDS, lambda: interrupt_running(HANDED_ON, hands_on=True)),
        (settings.WORKER_DRAIN_SECONDS + TIDY_SECONDS, lambda: os._exit(0)),
    ):
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
