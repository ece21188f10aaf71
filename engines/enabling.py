"""Switching an engine on and off: one that is off stays installed and cannot be started."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_host, require_role
from engines.models import Engine
from engines.noting import named, note_engine
from engines.services import discover_models, stop_engine
from jobs.events import announce
from jobs.models import Job

OPEN = Job.OPEN


@transaction.atomic
def set_engine_enabled(engine: Engine, *, is_enabled: bool, user: User | None) -> Engine:
    """Off also stops it and takes away that it is a default; its models stay known.

    On asks it for its models if none are known. Raises Refused ENGINE_NOT_INSTALLED.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    if not engine.is_installed:
        raise Refused("ENGINE_NOT_INSTALLED", f"{engine} is not installed.", engine=engine.pk)
    rows = Engine.objects.filter(pk=engine.pk)
    if is_enabled:
        rows.update(is_enabled=True)
    else:
        rows.update(is_enabled=False, is_default=False)
    words = "switched on" if is_enabled else "switched off"
    told = {**named(engine), "is_enabled": is_enabled}
    announce("engines", "engine.changed", text=f"{engine} was {words}", **told)
    note_engine("switch_on" if is_enabled else "switch_off", engine, user=user)
    engine.refresh_from_db()
    if not is_enabled:
        stop_engine(engine, user=user)
    elif not engine.engine_models.exists() and not engine.jobs.filter(status__in=OPEN).exists():
        discover_models(engine, user=user)
    return engine


@transaction.atomic
def clear_default(engine_type: str, *, user: User | None) -> list[Engine]:
    """No engine of this type is the default any more; they go on running."""
    require_role(user, User.Role.OPERATOR)
    engines = list(Engine.objects.filter(engine_type=engine_type, is_default=True))
    for engine in engines:
        require_host(user, engine.host_id)
    Engine.objects.filter(pk__in=[engine.pk for engine in engines]).update(is_default=False)
    for engine in engines:
        text = f"{engine} is no longer the default"
        announce("engines", "engine.changed", text=text, pk=engine.pk)
        note_engine("no_default", engine, user=user)
    return engines
