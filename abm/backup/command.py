"""`manage.py abm backup FILE` and `restore FILE`."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, OutputWrapper

from abm.backup.archive import read_backup, write_backup
from abm.backup.sealing import BackupUnusable
from abm.data import DataUnusable, lock, prepare
from abm.schema import bring_up_to_date
from abm.templatetags.show import size
from jobs.presence import present

VERBS = ("backup", "restore")
SHORTEST = 8


def add_arguments(things: Any) -> None:
    """Hang the two verbs below `abm`."""
    backup = things.add_parser("backup", help="everything but images, in one encrypted file")
    backup.add_argument("file", type=Path, metavar="FILE")
    backup.add_argument("--without-models", action="store_true", help="leave DATA_DIR/models out")
    restore = things.add_parser("restore", help="bring a backup back into an abm that is empty")
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument("--replace", action="store_true", help="lose what this abm has")


def handle(options: dict[str, Any], out: OutputWrapper) -> None:
    """Do what was asked. Raises CommandError with a sentence."""
    file: Path = options["file"].expanduser()
    try:
        if options["thing"] == "backup":
            passphrase = _passphrase(is_new=True)
            written = write_backup(
                file, passphrase=passphrase, has_models=not options["without_models"]
            )
            out.write(f"{file} is whole: {size(written)}. Without its passphrase it is lost.")
        else:
            _restore(file, replaces=options["replace"], out=out)
    except (BackupUnusable, DataUnusable) as error:
        raise CommandError(str(error)) from error


def _restore(file: Path, *, replaces: bool, out: OutputWrapper) -> None:
    passphrase = _passphrase(is_new=False)
    prepare(settings.DATA_DIR)
    held = lock(settings.DATA_DIR) if settings.IS_EMBEDDED else None
    bring_up_to_date()
    running = [str(process) for process in present()]
    if running:
        raise CommandError(
            f"This abm runs ({', '.join(running)}). End web, worker and link, wait 20 s for "
            "those that were killed, then restore."
        )
    found = read_backup(file, passphrase=passphrase, replaces=replaces)
    if held is not None:
        held.close()
    rows = sum(found.counts.values())
    out.write(
        f"Restored {rows} rows and {found.files} files of abm {found.version} from "
        f"{found.made_at}. Start abm; it looks by itself which engines are still there."
    )


def _passphrase(*, is_new: bool) -> str:
    """Of BACKUP_PASSPHRASE, or typed. Raises BackupUnusable."""
    given = settings.BACKUP_PASSPHRASE
    if not given and sys.stdin.isatty():
        given = getpass.getpass("Passphrase: ")
        if is_new and getpass.getpass("The same again: ") != given:
            raise BackupUnusable("The two passphrases are not the same. Nothing was written.")
    if not given:
        raise BackupUnusable(
            "A backup holds secrets, so it needs a passphrase: set BACKUP_PASSPHRASE or "
            "BACKUP_PASSPHRASE_FILE."
        )
    if is_new and len(given) < SHORTEST:
        raise BackupUnusable(f"The passphrase is too short; take at least {SHORTEST} signs.")
    return given
