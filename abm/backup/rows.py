"""The rows of the database as lines of JSON, the same from SQLite and from PostgreSQL.

They are read and written through the models as the migrations know them, which have neither
managers, nor signals, nor times that set themselves.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import DateField, Model

APPS = ("accounts", "jobs", "hosts", "catalog", "engines", "abm")
OF_OTHERS = {"account.emailaddress", "mfa.authenticator", "socialaccount.socialaccount"}
"""How people sign in, kept by allauth."""
GONE_WITH_SESSIONS = (
    "sessions.session",
    "usersessions.usersession",
    "account.emailconfirmation",
    "socialaccount.socialtoken",
    "admin.logentry",
)
"""Not brought back, and emptied by a restore, because rows of the people before hang on them."""
LEFT_OUT = {
    *("jobs.process", "jobs.lease"),  # true only of processes that run
    *GONE_WITH_SESSIONS,
    *("auth.permission", "auth.group", "contenttypes.contenttype", "socialaccount.socialapp"),
}
ROWS_IN_BLOCK = 500
NOT_FOR_POSTGRES = re.compile("[\x00\ud800-\udfff]")


def migrations() -> list[str]:
    """Those that the database has of what is backed up, as `hosts.0001_initial`."""
    applied = MigrationExecutor(connection).loader.applied_migrations
    known = {*APPS, *(label.split(".")[0] for label in OF_OTHERS)}
    return sorted(f"{app}.{name}" for app, name in applied if app in known)


@contextlib.contextmanager
def at_one_moment() -> Iterator[None]:
    """What is read in this block is as it was at its begin, and nobody waits for it."""
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "sqlite":
        connection.ensure_connection()
        with connection.cursor() as cursor:
            # Not `atomic`, which would keep everybody from writing meanwhile.
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield


def blocks() -> Iterator[tuple[str, bytes]]:
    """Every row, some at a time: the table's label, and lines of JSON by column."""
    for label, model in _tables().items():
        columns = [field.attname for field in model._meta.concrete_fields]
        held: list[str] = []
        rows = model._base_manager.order_by("pk").values_list(*columns)
        for row in rows.iterator(chunk_size=ROWS_IN_BLOCK):
            held.append(json.dumps(dict(zip(columns, row, strict=True)), default=_plain))
            if len(held) == ROWS_IN_BLOCK:
                yield label, "\n".join(held).encode()
                held.clear()
        if held:
            yield label, "\n".join(held).encode()


def replace_all(
    found: Iterable[tuple[str, bytes]], *, change: Callable[[str], str]
) -> dict[str, int]:
    """Put these rows in the place of all there are; the number of rows by table.

    Every text in them goes through `change`. Call it in a transaction, and only with blocks of a
    database that has the same migrations. Raises DatabaseError where rows contradict each other.
    """
    tables = _tables()
    for label in GONE_WITH_SESSIONS:
        apps.get_model(label)._base_manager.all()._raw_delete(connection.alias)
    for model in tables.values():
        model._base_manager.all()._raw_delete(connection.alias)
    counts = dict.fromkeys(tables, 0)
    for label, block in found:
        rows = [_row(tables[label], json.loads(line), change) for line in block.splitlines()]
        tables[label]._base_manager.bulk_create(rows)
        counts[label] += len(rows)
    connection.check_constraints()
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [*tables.values()]):
            cursor.execute(statement)
    return counts


def _tables() -> dict[str, type[Model]]:
    state = MigrationExecutor(connection).loader.project_state()
    found = {
        model._meta.label_lower: model
        for model in state.apps.get_models()
        if model._meta.label_lower not in LEFT_OUT
        and (model._meta.app_label in APPS or model._meta.label_lower in OF_OTHERS)
    }
    for model in found.values():
        for field in model._meta.concrete_fields:
            if isinstance(field, DateField):  # DateTimeField is one
                field.auto_now = field.auto_now_add = False
    return found


def _row(model: type[Model], values: dict[str, Any], change: Callable[[str], str]) -> Model:
    made = {}
    for field in model._meta.concrete_fields:
        value = _changed(field.to_python(values[field.attname]), change)
        if isinstance(value, str) and field.max_length and connection.vendor == "postgresql":
            value = value[: field.max_length]  # SQLite holds nobody to a length
        made[field.attname] = value
    return model(**made)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        text = change(value)
        return NOT_FOR_POSTGRES.sub("�", text) if connection.vendor == "postgresql" else text
    if isinstance(value, dict):
        return {_changed(key, change): _changed(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_changed(inner, change) for inner in value]
    return value


def _plain(value: object) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in a backup")
