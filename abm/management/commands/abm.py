"""`manage.py abm ...`: what pages and the API do, from a shell."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from types import ModuleType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from abm.api import document
from abm.backup import command as backup_command
from abm.fleet import command as fleet_command
from accounts import token_command, users_command
from accounts.audit import Via, acting
from accounts.refused import Refused
from accounts.rest import problem
from catalog import catalog_command
from catalog.check import check_engine
from catalog.scaffold import TYPES, NotMade, new_engine
from engines import engines_command
from hosts import hosts_command
from jobs import jobs_command
from jobs.terminal import Terminal
from jobs.when_away import choosing

THINGS: dict[str, tuple[ModuleType, str]] = {
    "hosts": (hosts_command, "machines that run engines"),
    "engines": (engines_command, "engines on hosts: install, start, look"),
    "jobs": (jobs_command, "what is under way"),
    "catalog": (catalog_command, "what could be installed"),
    "users": (users_command, "people, when the pages cannot help"),
    "token": (token_command, "a program's key to the API"),
}
"""Each module has `add_arguments(verbs)` and `handle(options, terminal)`."""
WHOLES = (backup_command, fleet_command)
"""Of all of abm: they have `add_arguments(things)`, `VERBS` and `handle(options, out)`."""


class Command(BaseCommand):
    help = (
        "Hosts, engines, jobs, the catalog, people, tokens, backups: for scripts and emergencies."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        things = parser.add_subparsers(dest="thing", required=True, metavar="THING")
        for name, (module, words) in THINGS.items():
            thing: ArgumentParser = things.add_parser(name, help=words)
            module.add_arguments(thing.add_subparsers(dest="verb", required=True, metavar="VERB"))
        for wholes in WHOLES:
            wholes.add_arguments(things)
        things.add_parser("openapi", help="the document of the REST API, as JSON")
        engine = things.add_parser("engine", help="make an engine of your own, check its folder")
        verbs = engine.add_subparsers(dest="verb", required=True, metavar="VERB")
        new = verbs.add_parser("new", help="write a small working engine into a new folder")
        new.add_argument("engine_type", choices=TYPES, metavar="TYPE", help=", ".join(TYPES))
        new.add_argument("name", metavar="NAME", help="such as my-voice")
        new.add_argument("folder", type=Path, metavar="DIR")
        check = verbs.add_parser("check", help="say what is wrong in an engine's folder")
        check.add_argument("folder", type=Path, metavar="DIR")

    def handle(self, *args: Any, **options: Any) -> None:
        thing = options["thing"]
        for wholes in WHOLES:
            if thing in wholes.VERBS:
                wholes.handle(options, self.stdout)
                return
        if thing == "openapi":
            told = json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False)
            self.stdout.write(told)
        elif thing in THINGS:
            self._ask(THINGS[thing][0], options)
        elif options["verb"] == "new":
            self._new(options["folder"].expanduser(), options["name"], options["engine_type"])
        else:
            self._check(options["folder"].expanduser())

    def _ask(self, module: ModuleType, options: dict[str, Any]) -> None:
        """The services are asked by abm itself, which may do everything; the audit says whence."""
        terminal = Terminal(
            self.stdout,
            self.stderr,
            is_json=options.get("json", False),
            waits=not options.get("no_wait", False),
        )
        with acting(via=Via.COMMAND):
            try:
                with choosing(options.get("when_away") or ""):
                    module.handle(options, terminal)
            except Refused as refused:
                if terminal.is_json:
                    self.stdout.write(json.dumps(problem(refused), ensure_ascii=False))
                raise CommandError(refused.message) from refused

    def _new(self, folder: Path, name: str, engine_type: str) -> None:
        contract = settings.BASE_DIR / "bundled" / "_server" / "abm_engine"
        try:
            files = new_engine(folder, name=name, engine_type=engine_type, contract=contract)
        except NotMade as error:
            raise CommandError(str(error)) from error
        for file in files:
            self.stdout.write(f"  {file}")
        self._check(folder)
        engines = folder.resolve().parent.parent
        self.stdout.write(f"Start abm with ENGINES_DIR={engines} and find it in the catalog.")

    def _check(self, folder: Path) -> None:
        findings = check_engine(folder)
        for finding in findings:
            self.stdout.write(f"{'FAIL' if finding.is_error else 'note'} {finding.text}")
        errors = sum(finding.is_error for finding in findings)
        if errors:
            raise CommandError(f"{folder}: {errors} to mend before abm can run it.")
        self.stdout.write(f"{folder}: abm can run it.")
