"""The database's tables: brought up to date by one process, and refused when they are newer."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import OperationalError

log = logging.getLogger(__name__)

MIGRATION_LOCK = 0x61626D02  # PostgreSQL advisory lock: one process migrates, the others wait.
DATABASE_SECONDS = 60.0
SCHEMA_SECONDS = 60.0
LOOK_SECONDS = 1.0


def bring_up_to_date() -> None:
    """Migrate what needs it. Raises CommandError for a database of a newer abm."""
    _wait_for_database()
    if not is_behind():
        return
    with _alone():
        if is_behind():
            call_command("migrate", verbosity=0, interactive=False)


def wait_for_schema() -> None:
    """Until another process has migrated. Raises CommandError if none does, or a newer abm did."""
    _wait_for_database()
    until = time.monotonic() + SCHEMA_SECONDS
    while is_behind():
        if time.monotonic() > until:
            raise CommandError(
                "The database is of an older abm, or empty. Run manage.py prepare, or start "
                "manage.py web, which does the same; then start this again."
            )
        time.sleep(LOOK_SECONDS)


def is_behind() -> bool:
    """Whether migrations are missing. Raises CommandError for a database of a newer abm."""
    executor = MigrationExecutor(connection)
    known = executor.loader.disk_migrations.keys()
    ours = {app for app, _ in known}
    newer = sorted(
        f"{app}.{name}"
        for app, name in executor.loader.applied_migrations
        if app in ours and (app, name) not in known and not _was_replaced(executor, app, name)
    )
    if newer:
        raise CommandError(
            f"The database was made by a newer abm ({', '.join(newer[:3])} is not known to this "
            "one). Start that version again, or restore the backup from before the upgrade."
        )
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _was_replaced(executor: MigrationExecutor, app: str, name: str) -> bool:
    """Whether a migration that we know stands for it."""
    return any(
        (app, name) in migration.replaces for migration in executor.loader.disk_migrations.values()
    )


def _wait_for_database() -> None:
    """A database that starts together with abm may need a moment. Raises CommandError."""
    until = time.monotonic() + DATABASE_SECONDS
    while True:
        try:
            connection.ensure_connection()
            return
        except OperationalError as error:
            if connection.vendor == "sqlite" or time.monotonic() > until:
                raise CommandError(
                    f"The database does not answer: {str(error).strip()} "
                    "Check DATABASE_URL, and that its server runs."
                ) from error
            log.warning("the database does not answer yet: %s", str(error).strip())
            time.sleep(LOOK_SECONDS)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One migrates at a time; SQLite's file has one abm anyway."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
