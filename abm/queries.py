"""What the dashboard and the search show, gathered from every app."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from catalog.models import CatalogEntry, CatalogSource
from engines.models import Engine
from engines.queries import engines_shown
from hosts.models import Host
from hosts.queries import hosts_shown
from jobs.models import Job
from jobs.queries import jobs_shown, last_events

FOUND_EACH = 8


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that needs a person: what, in words, and where it is dealt with."""

    text: str
    url: str
    label: str
    post_url: str = ""
    post_label: str = ""


def troubles() -> list[Trouble]:
    """Hosts that do not answer, failed engines, jobs that failed lately, faulty sources."""
    rows = []
    for host in Host.objects.filter(is_enabled=True).exclude(
        state__in=[*Host.USABLE, Host.State.STARTING]
    ):
        text = f"{host}: {host.state_text or host.get_state_display()}"
        rows.append(Trouble(text, reverse("hosts:host", args=[host.pk]), "Open"))
    for host in Host.objects.filter(is_enabled=True, state=Host.State.DEGRADED):
        rows.append(
            Trouble(f"{host}: {host.state_text}", reverse("hosts:host", args=[host.pk]), "Open")
        )
    failed = Engine.objects.filter(state__in=[Engine.State.FAILED, Engine.State.MISSING])
    for engine in failed.select_related("host"):
        rows.append(_engine_trouble(engine))
    rows += [_job_trouble(job) for job in _failed_jobs()]
    for source in CatalogSource.objects.filter(is_enabled=True).exclude(error=""):
        text = f"The catalog {source} could not be synced: {source.error}"
        rows.append(Trouble(text, reverse("catalog:list"), "Catalog"))
    return rows


def _engine_trouble(engine: Engine) -> Trouble:
    page = reverse("engines:engine", args=[engine.pk])
    if engine.state == Engine.State.MISSING:
        return Trouble(f"{engine} on {engine.host}: {engine.state_text}", page, "Open")
    return Trouble(
        engine.error or f"{engine} failed.",
        f"{page}?tab=logs",
        "Logs",
        reverse("engines:start", args=[engine.pk]),
        "Start",
    )


def _failed_jobs() -> list[Job]:
    """Of the last day, not tried again, and not told already by their engine's own trouble."""
    since = timezone.now() - timedelta(days=1)
    jobs = jobs_shown().filter(status=Job.Status.FAILED, finished_at__gt=since)
    jobs = jobs.exclude(engine__state=Engine.State.FAILED).exclude(action=Job.Action.SYNC)
    latest: dict[tuple[str, str], Job] = {}
    for job in jobs[:50]:
        latest.setdefault((job.action, job.subject), job)
    return [job for job in latest.values() if not _was_mended(job)]


def _was_mended(job: Job) -> bool:
    later = Job.objects.filter(pk__gt=job.pk, action=job.action, subject=job.subject)
    return later.exclude(status=Job.Status.FAILED).exists()


def _job_trouble(job: Job) -> Trouble:
    return Trouble(
        f"{job}: {job.error}",
        reverse("jobs:job", args=[job.pk]),
        "Open",
        reverse("jobs:retry", args=[job.pk]) if job.engine_id else "",
        "Retry",
    )


def dashboard_parts() -> dict[str, Any]:
    """All that the dashboard draws."""
    engines = engines_shown()
    return {
        "troubles": troubles(),
        "hosts": hosts_shown(),
        "alive": engines.filter(state__in=Engine.ALIVE),
        "open_jobs": jobs_shown().filter(status__in=Job.OPEN),
        "events": last_events(10),
        "is_new": not Engine.objects.exclude(state=Engine.State.ABSENT).exists(),
    }


def found(text: str) -> dict[str, Any]:
    """What a search finds, a few of each."""
    text = text.strip()[:100]
    if not text:
        return {"query": "", "count": 0}
    engines = list(
        engines_shown().filter(Q(display_name__icontains=text) | Q(name__icontains=text))[
            :FOUND_EACH
        ]
    )
    hosts = list(
        Host.objects.filter(Q(display_name__icontains=text) | Q(host_id__icontains=text))[
            :FOUND_EACH
        ]
    )
    entries = list(
        CatalogEntry.objects.filter(
            Q(display_name__icontains=text)
            | Q(name__icontains=text)
            | Q(description__icontains=text),
            is_withdrawn=False,
            source__is_enabled=True,
        ).select_related("source")[:FOUND_EACH]
    )
    jobs = list(
        jobs_shown().filter(Q(subject__icontains=text) | Q(error__icontains=text))[:FOUND_EACH]
    )
    count = len(engines) + len(hosts) + len(entries) + len(jobs)
    return {
        "query": text,
        "engines": engines,
        "hosts": hosts,
        "entries": entries,
        "jobs": jobs,
        "count": count,
    }
