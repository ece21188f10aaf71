"""`manage.py web`: the web server alone, for an abm on PostgreSQL and Redis."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from abm.management.commands.serve import make_server, set_up


class Command(BaseCommand):
    help = "Serve pages and sockets; jobs need manage.py worker beside it."

    def handle(self, *args: Any, **options: Any) -> None:
        set_up()
        make_server().listen()
