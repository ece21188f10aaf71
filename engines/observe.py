"""Writing down what the link sees: an engine that died, came back, or merely goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from engines import services
from engines.models import Engine
from engines.recovery import UNSETTLED, resume
from engines.state import change_state
from hosts.models import Host
from hosts.runners.base import EngineStatus
from jobs.events import hint
from jobs.models import Job

S = Engine.State
BACK_OFF_FIRST = timedelta(seconds=2)
BACK_OFF_LONGEST = timedelta(minutes=5)
STEADY_AFTER = timedelta(minutes=2)
CRASH_LOOP = 4
"""So many crashes in a row are no accident."""
CRASHED = "ENGINE_CRASHED"
ENDING = "ENGINE_ENDING"
"""It ended a moment ago, and its host has not said how yet."""
REMOVED = "Its container was removed outside of abm."
REMOVAL = timedelta(seconds=10)
"""Who removes a running container ends it first; the rest comes within this."""


def engine_seen(engine: Engine, status: EngineStatus, *, log_tail: str = "") -> None:
    """Set the row to what its host says. A row with an open job is that job's to write."""
    try:
        engine.refresh_from_db()
    except Engine.DoesNotExist:
        return  # it was uninstalled while its host was asked
    if engine.attached_url or Job.objects.filter(engine=engine, status__in=Job.OPEN).exists():
        return
    if status.told_at < engine.state_at:
        return  # by a job that has ended meanwhile; what came after it is told again
    if status.is_running and engine.state in (S.STOPPED, S.FAILED, S.MISSING, *UNSETTLED):
        _found_again(engine, status)
    elif not status.is_running and (is_last_seen_alive(engine) or engine.state == S.STOPPING):
        _ended(engine, status, log_tail)
    elif engine.state in (S.INSTALLING, S.UNINSTALLING):
        # Its job ended while the host was away.
        change_state(engine, S.STOPPED if status.is_installed else S.ABSENT)
    elif not status.is_installed and engine.state in (S.STOPPED, S.FAILED):
        _missed(engine, status)
    elif engine.state == S.FAILED and status.is_container_gone and _has_just_died(engine):
        _ended(engine, status, log_tail)
    elif status.is_installed and engine.state == S.MISSING:
        change_state(engine, S.STOPPED, event=f"{engine} is back on {engine.host}")
    elif status.is_running and status.memory_bytes != engine.memory_bytes:
        Engine.objects.filter(pk=engine.pk).update(memory_bytes=status.memory_bytes)


def engine_ending(engine: Engine) -> None:
    """Show its end at once; how it came is told by the next `engine_seen`, in a moment."""
    if engine.is_alive and not Job.objects.filter(engine=engine, status__in=Job.OPEN).exists():
        change_state(
            engine,
            S.FAILED,
            error=f"{engine} ended by itself.",
            error_code=ENDING,
            started_at=engine.started_at,
        )


def is_last_seen_alive(engine: Engine) -> bool:
    """Whether its end, if it has come, is still to be explained."""
    return engine.is_alive or engine.error_code == ENDING


def _found_again(engine: Engine, status: EngineStatus) -> None:
    if status.endpoint is None:
        return
    values: dict[str, Any] = {
        "url": status.endpoint.url,
        "port": status.endpoint.port,
        "started_at": status.started_at,
    }
    is_down = engine.state in (S.STOPPED, S.FAILED)
    if not (is_down and change_state(engine, S.STARTING, text="It runs again.", **values)):
        Engine.objects.filter(pk=engine.pk).update(**values)
        engine.refresh_from_db()
    resume(engine)


def _ended(engine: Engine, status: EngineStatus, log_tail: str) -> None:
    """It ran. One whose container was taken away is no crash, unless it is to be kept running."""
    if status.is_container_gone and not status.is_installed:
        _missed(engine, status)
    elif status.is_container_gone and not engine.keep_running:
        text = f"{REMOVED} Start makes a new one."
        change_state(engine, S.STOPPED, text=text, event=f"{engine} was stopped. {text}")
    else:
        _died(engine, status, log_tail)


def _has_just_died(engine: Engine) -> bool:
    is_crash = engine.error_code == CRASHED and engine.restart_at is None
    return is_crash and timezone.now() - engine.state_at < REMOVAL


def _missed(engine: Engine, status: EngineStatus) -> None:
    """What it runs from is gone."""
    what = "Its files are gone."
    if engine.host.is_docker:
        both = "Its container and its image were removed outside of abm."
        what = both if status.is_container_gone else "Its image was removed outside of abm."
    change_state(
        engine,
        S.MISSING,
        text=f"{what} Install it again, or uninstall it here.",
        event=f"{engine} is missing on {engine.host}. {what}",
    )


def _died(engine: Engine, status: EngineStatus, log_tail: str) -> None:
    why = _why_it_died(engine, status)
    was_steady = engine.started_at and timezone.now() - engine.started_at > STEADY_AFTER
    crashes = 1 if was_steady else engine.crash_count + 1
    wait = min(BACK_OFF_FIRST * 2 ** (crashes - 1), BACK_OFF_LONGEST)
    again = timezone.now() + wait if engine.keep_running else None
    text = f"Starts again in {wait.total_seconds():.0f} s." if again else ""
    if again and crashes >= CRASH_LOOP:
        text = f"It crashes in a loop, {crashes} times in a row. {text}"
    if change_state(
        engine,
        S.FAILED,
        text=text,
        event=why,
        error=why,
        error_code=CRASHED,
        error_detail=log_tail,
        crash_count=crashes,
        restart_at=again,
    ):
        engine.refresh_from_db()


def _why_it_died(engine: Engine, status: EngineStatus) -> str:
    if status.is_container_gone:
        return f"{engine} ended. {REMOVED} Start makes a new one."
    reason = status.exit.reason if status.exit and status.exit.reason else "It left no reason."
    return f"{engine} ended by itself. {reason}"


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
