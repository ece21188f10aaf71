"""`manage.py abm ...`: engines of one's own, tokens, backups, and the fleet as YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from abm.api import document
from abm.backup import command as backup_command
from abm.fleet import command as fleet_command
from accounts import token_command, users_command
from catalog.check import check_engine
from catalog.scaffold import TYPES, NotMade, new_engine


class Command(BaseCommand):
    help = "Engines of one's own, tokens, people, backups."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        things = parser.add_subparsers(dest="thing", required=True, metavar="THING")
        engine = things.add_parser("engine", help="a speech engine's folder")
        verbs = engine.add_subparsers(dest="verb", required=True, metavar="VERB")
        new = verbs.add_parser("new", help="write a small working engine into a new folder")
        new.add_argument("engine_type", choices=TYPES, metavar="TYPE", help=", ".join(TYPES))
        new.add_argument("name", metavar="NAME", help="such as my-voice")
        new.add_argument("folder", type=Path, metavar="DIR")
        check = verbs.add_parser("check", help="say what is wrong in an engine's folder")
        check.add_argument("folder", type=Path, metavar="DIR")
        backup_command.add_arguments(things)
        fleet_command.add_arguments(things)
        token = things.add_parser("token", help="a program's key to the API")
        token_command.add_arguments(
            token.add_subparsers(dest="verb", required=True, metavar="VERB")
        )
        users = things.add_parser("users", help="people, when the pages cannot help")
        users_command.add_arguments(
            users.add_subparsers(dest="verb", required=True, metavar="VERB")
        )

        things.add_parser("openapi", help="the document of the REST API, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["thing"] == "openapi":
            told = json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False)
            self.stdout.write(told)
            return
        if options["thing"] == "token":
            token_command.handle(options, self.stdout)
            return
        if options["thing"] == "users":
            users_command.handle(options, self.stdout)
            return
        if options["thing"] in backup_command.VERBS:
            backup_command.handle(options, self.stdout)
            return
        if options["thing"] in fleet_command.VERBS:
            fleet_command.handle(options, self.stdout)
            return
        folder: Path = options["folder"].expanduser()
        if options["verb"] == "new":
            self._new(folder, name=options["name"], engine_type=options["engine_type"])
        else:
            self._check(folder)

    def _new(self, folder: Path, *, name: str, engine_type: str) -> None:
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
