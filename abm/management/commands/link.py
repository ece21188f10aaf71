"""`manage.py link`: the links to the hosts and the clock, for an abm on PostgreSQL and Redis."""

from __future__ import annotations

import os
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from abm.celery import app
from abm.duty import Duty
from abm.schema import wait_for_schema


class Command(BaseCommand):
    help = "Watch the hosts and ring the clock; of several, one works and the others stand by."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.IS_EMBEDDED:
            raise CommandError("Without REDIS_URL, manage.py serve holds the link too.")
        wait_for_schema()
        duty = Duty(app)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: duty.ended.set())
        duty.run()
        # Threads that wait for a host's answer would be waited for; the database has all there is.
        os._exit(0)
