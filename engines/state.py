"""The one way an engine's state changes: guarded, written narrowly, told to open pages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.refused import Refused
from engines.models import Engine
from engines.noting import named
from jobs.database import insist
from jobs.events import announce

S = Engine.State

DOWN = (S.FAILED, S.STOPPED, S.MISSING, S.UNINSTALLING)
"""What may become of an engine that is up, or on its way."""
ALLOWED: dict[str, frozenset[str]] = {
    S.ABSENT: frozenset({S.INSTALLING, S.UNINSTALLING}),
    S.INSTALLING: frozenset({S.STOPPED, S.ABSENT, S.UNINSTALLING}),
    S.STOPPED: frozenset({S.STARTING, S.UNINSTALLING, S.INSTALLING, S.MISSING, S.RUNNING}),
    S.STARTING: frozenset({S.DOWNLOADING, S.LOADING, S.RUNNING, S.STOPPING, *DOWN}),
    S.DOWNLOADING: frozenset({S.LOADING, S.RUNNING, S.STOPPING, *DOWN}),
    S.LOADING: frozenset({S.RUNNING, S.STOPPING, *DOWN}),
    S.RUNNING: frozenset({S.LOADING, S.STOPPING, S.STARTING, *DOWN}),
    S.STOPPING: frozenset({S.STARTING, S.RUNNING, *DOWN}),
    S.FAILED: frozenset(
        {S.STARTING, S.STOPPING, S.STOPPED, S.RUNNING, S.UNINSTALLING, S.INSTALLING, S.MISSING}
    ),
    S.MISSING: frozenset({S.INSTALLING, S.UNINSTALLING, S.STOPPED, S.ABSENT}),
    S.UNINSTALLING: frozenset({S.STOPPED, S.FAILED, S.ABSENT}),
}
MOST_TOLD = 500
"""Characters of an error that an event carries."""
GONE: dict[str, Any] = {"loaded_model": "", "memory_bytes": None, "started_at": None}


def change_state(
    engine: Engine,
    state: Engine.State,
    *,
    only_from: Iterable[str] | None = None,
    text: str = "",
    event: str = "",
    reason: str = "",
    **values: Any,
) -> bool:
    """Move `engine` to `state`, with the other columns in `values`; False if it may not.

    The current state is compared and set in the database, so that of two that race one wins.
    A change away from failed clears the error, one to stopped or failed what only a live engine
    has. `event` is for the list of last events, `reason` says `manual` or `inactivity` of a stop.
    """
    sources = {old for old, news in ALLOWED.items() if state in news} | {state}
    if only_from is not None:
        sources &= set(only_from)
    if state in (S.STOPPED, S.FAILED, S.ABSENT, S.MISSING):
        values = {**GONE, **values}
    if state != S.FAILED:
        values = {"error": "", "error_code": "", "error_detail": "", **values}
    columns = {**values, "state": state, "state_text": text}
    moved = insist(partial(_move, engine, columns, sources, event=event, reason=reason))
    if moved:
        insist(engine.refresh_from_db)
    return moved


@transaction.atomic
def _move(
    engine: Engine, columns: dict[str, Any], sources: set[str], *, event: str, reason: str
) -> bool:
    now = timezone.now()
    moved = Engine.objects.filter(pk=engine.pk, state__in=sources).update(
        state_at=now, seen_at=now, updated_at=now, **columns
    )
    if moved:
        state = columns["state"]
        told = {**named(engine), "state": state, "was": engine.state, "reason": reason}
        if state == S.RUNNING:
            told |= {"port": engine.port, "model": columns.get("loaded_model", "")}
            told |= {"version": columns.get("package_version", "")}
        elif state == S.FAILED:
            error = str(columns.get("error", ""))[:MOST_TOLD]
            told |= {"error": error, "code": columns.get("error_code", "")}
        announce("engines", "engine.changed", text=event, **told)
    return bool(moved)


def look_again(engine: Engine) -> None:
    """Take its state from the row, which nobody changes until the transaction ends.

    Of many who ask at once, the last come when the first one's job has ended already.
    """
    row = Engine.objects.select_for_update().filter(pk=engine.pk)
    engine.state = row.values_list("state", flat=True).first() or engine.state


def require_running(engine: Engine, /, **params: Any) -> None:
    """Raises Refused ENGINE_NOT_RUNNING, with the way out of the state that it is in."""
    if engine.is_running:
        return
    way = "Wait until it runs" if engine.is_alive else "Start it"
    raise Refused(
        "ENGINE_NOT_RUNNING",
        f"{engine} is {engine.get_state_display().lower()}. {way}, then try again.",
        status=409,
        **params,
    )
