"""What the dashboard and the search show, gathered from every app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from abm.attention import troubles
from catalog.models import CatalogEntry
from engines.models import Engine, Trial
from engines.queries import engines_shown
from hosts.models import Host
from hosts.queries import hosts_shown
from jobs.queries import jobs_shown, last_events, open_jobs

FOUND_EACH = 8
RUNNING_SHOWN = 50
RUNNING_COLUMNS = (
    "display_name",
    "engine_type",
    "state",
    "device",
    "memory_bytes",
    "seen_at",
    "host__display_name",
)
"""What `abm/_running.html` draws; all the others cost as much again."""
HOSTS_SHOWN = 24
MAX_QUERY = 100


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """How far a new abm is on the way to its first voice; the last step is never done here."""

    engine: Engine | None
    """The first engine, once there is one."""

    @property
    def is_installed(self) -> bool:
        return self.engine is not None and self.engine.is_installed

    @property
    def is_running(self) -> bool:
        return self.engine is not None and self.engine.is_running


def first_steps() -> FirstSteps | None:
    """None once somebody tried an engine, or has more than one: the way is known then."""
    if Trial.objects.exists():
        return None
    known = engines_shown().order_by("pk").defer("definition")
    if known.prefetch_related(None).values("pk")[1:2]:
        return None
    engines = list(known[:1])
    return FirstSteps(engine=engines[0] if engines else None)


def _attention() -> dict[str, Any]:
    return {"troubles": troubles()}


def _steps() -> dict[str, Any]:
    return {"steps": first_steps()}


def _hosts() -> dict[str, Any]:
    """The first ones; those in trouble stand above them however many there are."""
    hosts = list(hosts_shown()[: HOSTS_SHOWN + 1])
    return {"hosts": hosts[:HOSTS_SHOWN], "has_more_hosts": len(hosts) > HOSTS_SHOWN}


def _running() -> dict[str, Any]:
    alive = Engine.objects.filter(state__in=Engine.ALIVE).select_related("host")
    return {"alive": list(alive.only(*RUNNING_COLUMNS)[:RUNNING_SHOWN])}


def _jobs() -> dict[str, Any]:
    return {"open_jobs": open_jobs()}


def _events() -> dict[str, Any]:
    return {"events": last_events(10)}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "attention": _attention,
    "steps": _steps,
    "hosts": _hosts,
    "running": _running,
    "jobs": _jobs,
    "events": _events,
}
"""The parts of the dashboard: `abm/_<name>.html` draws what the function gives."""


def dashboard_parts() -> dict[str, Any]:
    """All that the dashboard draws."""
    context: dict[str, Any] = {}
    for read in PARTS.values():
        context |= read()
    return context


def found(text: str) -> dict[str, Any]:
    """What a search finds, a few of each kind; nothing for an empty text."""
    text = text.replace("\x00", "").strip()[:MAX_QUERY]
    if not text:
        return {"query": "", "count": 0}
    rows: dict[str, list[Any]] = {
        "engines": list(_engines_named(text)),
        "hosts": list(
            Host.objects.filter(Q(display_name__icontains=text) | Q(host_id__icontains=text))[
                :FOUND_EACH
            ]
        ),
        "entries": list(_entries_about(text)),
        "jobs": list(
            jobs_shown().filter(Q(subject__icontains=text) | Q(error__icontains=text))[:FOUND_EACH]
        ),
    }
    return {"query": text, "count": sum(len(kind) for kind in rows.values()), **rows}


def _engines_named(text: str) -> Any:
    named = Q(display_name__icontains=text) | Q(name__icontains=text)
    return engines_shown().filter(named).defer("definition")[:FOUND_EACH]


def _entries_about(text: str) -> Any:
    about = (
        Q(display_name__icontains=text) | Q(name__icontains=text) | Q(description__icontains=text)
    )
    offered = CatalogEntry.objects.filter(about, is_withdrawn=False, source__is_enabled=True)
    return offered.select_related("source").defer("parameters", "model_rows", "extra")[:FOUND_EACH]
