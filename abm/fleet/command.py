"""`manage.py abm export` and `import FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from abm.fleet.export import fleet_now
from abm.fleet.plan import Change, plan
from abm.fleet.shapes import FleetInvalid, read_fleet, written
from accounts.audit import acting
from accounts.audit_models import AuditEntry
from accounts.refused import Refused

VERBS = ("export", "import")


def add_arguments(things: Any) -> None:
    """Hang the two verbs below `abm`."""
    export = things.add_parser("export", help="hosts and engines as YAML, without secrets")
    export.add_argument("file", type=Path, nargs="?", metavar="FILE", help="else printed")
    brought = things.add_parser("import", help="make hosts and engines as a YAML file says")
    brought.add_argument("file", type=Path, metavar="FILE")
    brought.add_argument("--yes", action="store_true", help="do not ask after the difference")
    brought.add_argument("--dry-run", action="store_true", help="show the difference alone")


def handle(options: dict[str, Any], out: OutputWrapper) -> None:
    """Do what was asked. Raises CommandError with a sentence."""
    file: Path | None = options["file"]
    try:
        if options["thing"] == "import":
            assert file is not None
            _import(file.expanduser().read_bytes(), options, out)
        elif file is not None:
            file.expanduser().write_text(written(fleet_now()))
        else:
            out.write(written(fleet_now()))
    except OSError as error:
        raise CommandError(f"{file} cannot be used: {error.strerror}.") from error


def _import(raw: bytes, options: dict[str, Any], out: OutputWrapper) -> None:
    try:
        changes = plan(read_fleet(raw))
    except FleetInvalid as error:
        raise CommandError(f"{options['file']}: {error}") from error
    for change in changes:
        out.write(str(change))
    to_make = [change for change in changes if change.make is not None]
    if not to_make:
        out.write("Nothing to change." if not changes else "Nothing that abm can do by itself.")
        return
    if options["dry_run"]:
        return
    if not options["yes"]:
        if not sys.stdin.isatty():
            raise CommandError("Nobody is here to be asked. Add --yes to make these changes.")
        if input("Make these changes? [y/N] ").strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was changed.")
    with acting(via=AuditEntry.Via.COMMAND):
        _make(to_make, out)


def _make(changes: list[Change], out: OutputWrapper) -> None:
    refused = []
    for change in changes:
        assert change.make is not None
        try:
            change.make()
        except Refused as refusal:
            refused.append(f"{change.text}: {refusal.message}")
    out.write(f"{len(changes) - len(refused)} of {len(changes)} changes were made.")
    if any(change.sign == "+" for change in changes):
        out.write("Installs go on by themselves; import again when they are done for settings.")
    if refused:
        raise CommandError("\n".join(refused))
