"""`manage.py prepare`: the database and the files that a start needs, once, before the others."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from abm.data import DataUnusable, prepare
from abm.management.commands.serve import set_up


class Command(BaseCommand):
    help = "Bring the database up to date, and all else that a start needs; then end."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            prepare(settings.DATA_DIR)
        except DataUnusable as error:
            raise CommandError(str(error)) from error
        set_up()
        self.stdout.write(f"abm {settings.VERSION} is ready to start.")
