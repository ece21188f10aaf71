"""`manage.py worker`: the jobs and the clock, for an abm on PostgreSQL and Redis."""

from __future__ import annotations

from typing import Any

from celery.beat import EmbeddedService
from django.conf import settings
from django.core.management.base import BaseCommand

from abm.celery import app


class Command(BaseCommand):
    help = "Do the jobs that pages ask for."

    def handle(self, *args: Any, **options: Any) -> None:
        clock: Any = EmbeddedService(app, thread=True, scheduler_cls="celery.beat.Scheduler")
        clock.start()
        app.Worker(
            pool="threads", concurrency=settings.WORKER_THREADS, loglevel=settings.LOG_LEVEL
        ).start()
        clock.stop()
