"""`manage.py web`: the web server alone, for an abm on PostgreSQL and Redis."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from abm.data import DataUnusable, prepare
from abm.management.commands.serve import make_server, require_free_port, set_up


class Command(BaseCommand):
    help = "Serve pages and sockets; jobs need manage.py worker beside it."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            prepare(settings.DATA_DIR)
        except DataUnusable as error:
            raise CommandError(str(error)) from error
        require_free_port(settings.HOST, settings.PORT)
        set_up()
        make_server().listen()
