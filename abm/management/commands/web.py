"""`manage.py web`: the web server alone, for an abm on PostgreSQL and Redis."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from abm.data import DataUnusable, prepare
from abm.management.commands.serve import greeting, make_server, require_free_port, set_up
from jobs.models import Process
from jobs.presence import Presence


class Command(BaseCommand):
    help = "Serve pages and sockets; needs manage.py worker and manage.py link beside it."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            prepare(settings.DATA_DIR)
        except DataUnusable as error:
            raise CommandError(str(error)) from error
        require_free_port(settings.HOST, settings.PORT)
        set_up()
        server = make_server()
        presence = Presence(Process.Role.WEB)
        presence.start()
        self.stdout.write(greeting())
        self.stdout.flush()
        server.listen()
        presence.end()
