"""Engines that nobody uses are stopped, and never one that is being used.

A request through abm sets `busy_until` to the latest moment at which it can still be under way:
a time that passes, not a counter that a kill leaves up. Requests past abm are seen by the
engine's own word, `processing`.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from accounts.refused import Refused
from engines import services
from engines.models import Engine
from engines.reach import client_of
from hosts.runners.base import RunnerError
from jobs.events import announce
from jobs.models import Job

log = logging.getLogger(__name__)

MARGIN_SECONDS = 10.0
HEALTH_SECONDS = 2.0


def begin_use(engine: Engine) -> datetime:
    """A request to `engine` begins; give what is returned to `end_use`."""
    seconds = settings.ENGINE_HTTP_TIMEOUT + MARGIN_SECONDS
    until = timezone.now() + timedelta(seconds=seconds)
    Engine.objects.filter(pk=engine.pk).update(busy_until=until)
    return until


def end_use(engine: Engine, until: datetime) -> None:
    """It ended. A later request has set another time, and that one counts."""
    now = timezone.now()
    mine = Engine.objects.filter(pk=engine.pk, busy_until=until)
    if not mine.update(busy_until=None, used_at=now):
        Engine.objects.filter(pk=engine.pk).update(used_at=now)


def stop_idle() -> list[Engine]:
    """Stop the engines whose time is up; return them."""
    now = timezone.now()
    open_jobs = Job.objects.filter(status__in=Job.OPEN, engine__isnull=False)
    running = (
        Engine.objects.filter(state=Engine.State.RUNNING, keep_running=False, attached_url="")
        .filter(Q(busy_until=None) | Q(busy_until__lt=now))
        .exclude(pk__in=open_jobs.values("engine_id"))
        .select_related("host")
    )
    return [engine for engine in running if _is_over(engine, now) and _stopped(engine)]


def _is_over(engine: Engine, now: datetime) -> bool:
    stops_at = engine.stops_at
    return stops_at is not None and stops_at <= now


def is_at_work(engine: Engine) -> bool:
    """Whether a running engine says that it works for somebody."""
    try:
        with client_of(engine) as client:
            return client.health(timeout=HEALTH_SECONDS).status == "processing"
    except RunnerError:
        return False


def _stopped(engine: Engine) -> bool:
    """Stop it unless it says that it works for somebody; then its time begins anew."""
    if is_at_work(engine):
        Engine.objects.filter(pk=engine.pk).update(used_at=timezone.now())
        return False
    try:
        services.stop_engine(engine, user=None)
    except Refused as refused:
        log.info("%s is not stopped: %s", engine, refused.message)
        return False
    text = f"{engine} is stopped: unused for {engine.idle_limit} min"
    announce("engines", "engine.changed", text=text, pk=engine.pk)
    return True
