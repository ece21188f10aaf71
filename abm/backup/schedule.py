"""Backups by the clock: BACKUP_DIR, BACKUP_HOURS and BACKUP_KEEP."""

from __future__ import annotations

import logging
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from abm.backup.archive import write_backup
from abm.backup.sealing import BackupUnusable
from abm.templatetags.show import size
from jobs.events import ORIGIN, announce
from jobs.lease import give_up, hold
from jobs.models import Event

log = logging.getLogger(__name__)

LEASE, LEASE_SECONDS = "backup", 6 * 3600.0
TOPIC = "system"


def backups() -> list[Path]:
    """Those that the clock made, the newest first; their names tell when."""
    folder = settings.BACKUP_DIR
    return sorted(folder.glob("abm-*.backup"), reverse=True) if folder else []


def is_due() -> bool:
    """Whether the newest one is older than BACKUP_HOURS."""
    if settings.BACKUP_DIR is None:
        return False
    newest = next(iter(backups()), None)
    if newest is None:
        return True
    age = timezone.now().timestamp() - newest.stat().st_mtime
    return age >= settings.BACKUP_HOURS * 3600


def run_if_due() -> None:
    """Make one if it is time, by one process at a time, and remove those that are too many."""
    if not is_due() or not hold(LEASE, ORIGIN, seconds=LEASE_SECONDS):
        return
    try:
        if is_due():
            _run()
    finally:
        give_up(LEASE, ORIGIN)


def _run() -> None:
    folder: Path = settings.BACKUP_DIR
    file = folder / f"abm-{timezone.now():%Y%m%d-%H%M%S}.backup"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("abm-*.backup.part"):  # of a process that was killed
            left.unlink()
        written = write_backup(file, passphrase=settings.BACKUP_PASSPHRASE)
    except (BackupUnusable, OSError) as error:
        log.error("the scheduled backup failed: %s", error)
        last = Event.objects.filter(topic=TOPIC, name__startswith="backup.").first()
        if last is None or last.name != "backup.failed":  # told once, tried every time
            announce(TOPIC, "backup.failed", text=f"The scheduled backup failed: {error}")
        return
    for old in backups()[settings.BACKUP_KEEP :]:
        old.unlink(missing_ok=True)
    announce(TOPIC, "backup.made", text=f"A backup was made: {file.name}, {size(written)}")
