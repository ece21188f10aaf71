"""Writing down what the link sees: an engine that died, came back, or merely goes on."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from engines import services
from engines.models import Engine
from engines.state import change_state
from engines.work import resume
from hosts.models import Host
from hosts.runners.base import EngineStatus
from jobs.events import hint
from jobs.models import Job

S = Engine.State
BACK_OFF_FIRST = timedelta(seconds=2)
BACK_OFF_LONGEST = timedelta(minutes=5)
STEADY_AFTER = timedelta(minutes=2)


def engine_seen(engine: Engine, status: EngineStatus, *, log_tail: str = "") -> None:
    """Set the row to what its host says. A row with an open job is that job's to write."""
    engine.refresh_from_db()
    if engine.attached_url or Job.objects.filter(engine=engine, status__in=Job.OPEN).exists():
        return
    if status.is_running and engine.state in (S.STOPPED, S.FAILED, S.MISSING):
        _found_again(engine, status)
    elif not status.is_running and engine.state in (*Engine.ALIVE, S.STOPPING):
        _died(engine, status, log_tail)
    elif not status.is_installed and engine.state in (S.STOPPED, S.FAILED):
        change_state(
            engine,
            S.MISSING,
            text="Its files are gone. Install it again, or uninstall it here.",
            event=f"{engine} is missing on {engine.host}",
        )
    elif status.is_installed and engine.state == S.MISSING:
        change_state(engine, S.STOPPED, event=f"{engine} is back on {engine.host}")
    elif status.is_running and status.memory_bytes != engine.memory_bytes:
        Engine.objects.filter(pk=engine.pk).update(memory_bytes=status.memory_bytes)


def _found_again(engine: Engine, status: EngineStatus) -> None:
    if status.endpoint is None:
        return
    Engine.objects.filter(pk=engine.pk).update(
        url=status.endpoint.url, port=status.endpoint.port, started_at=status.started_at
    )
    engine.refresh_from_db()
    resume(engine)


def _died(engine: Engine, status: EngineStatus, log_tail: str) -> None:
    reason = status.exit.reason if status.exit and status.exit.reason else "It left no reason."
    was_steady = engine.started_at and timezone.now() - engine.started_at > STEADY_AFTER
    crashes = 1 if was_steady else engine.crash_count + 1
    wait = min(BACK_OFF_FIRST * 2 ** (crashes - 1), BACK_OFF_LONGEST)
    again = timezone.now() + wait if engine.keep_running else None
    text = f"Starts again in {wait.total_seconds():.0f} s." if again else ""
    if change_state(
        engine,
        S.FAILED,
        text=text,
        event=f"{engine} ended by itself. {reason}",
        error=f"{engine} ended by itself. {reason}",
        error_code="ENGINE_CRASHED",
        error_detail=log_tail,
        crash_count=crashes,
        restart_at=again,
    ):
        engine.refresh_from_db()


def host_seen(host: Host) -> None:
    """The host answered: everything it shows is true as of now."""
    now = timezone.now()
    Host.objects.filter(pk=host.pk).update(seen_at=now)
    Engine.objects.filter(host=host).exclude(state=S.ABSENT).update(seen_at=now)
    hint("hosts", "host.seen", pk=host.pk)


def restart_due() -> None:
    """Start engines again whose back-off after a crash is over."""
    due = Engine.objects.filter(
        keep_running=True, state=S.FAILED, restart_at__lte=timezone.now()
    ).select_related("host")
    for engine in due:
        if (
            Engine.objects.filter(pk=engine.pk, restart_at=engine.restart_at).update(
                restart_at=None
            )
            and not Job.objects.filter(engine=engine, status__in=Job.OPEN).exists()
        ):
            services.start_engine(engine, user=None)


def start_kept(host: Host) -> None:
    """At abm's start: bring up what is to be kept running on `host` and does not run."""
    wanted = Engine.objects.filter(
        Q(state=S.STOPPED) | Q(state=S.FAILED), keep_running=True, host=host
    ).select_related("host")
    for engine in wanted:
        if not Job.objects.filter(engine=engine, status__in=Job.OPEN).exists():
            services.start_engine(engine, user=None)
