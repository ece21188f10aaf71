"""What needs a person: hosts, engines, jobs and sources in trouble, each with its way out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from abm.releases import Release, newer_release
from catalog.models import CatalogSource
from engines.models import Engine
from engines.updates import engines_with_updates
from hosts.models import Host
from jobs.models import Job
from jobs.queries import jobs_shown

SHOWN_EACH = 20
NAMES_SHOWN = 3
LATELY = timedelta(days=1)

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that needs a person: what, since when, where to look, and what may help."""

    key: str
    text: str
    url: str
    label: str
    since: datetime | None = None
    post_url: str = ""
    post_label: str = ""
    is_failure: bool = True
    """False for a warning: it still works."""
    host_pk: int | None = None
    """Whose host the help is for, since not everybody may operate each."""


def troubles() -> list[Trouble]:
    """Hosts first, because their engines cannot be helped before them."""
    rows = [_host_trouble(host) for host in _poor_hosts()]
    rows += [row for host in _hosts_with_strays() for row in _strays(host)]
    rows += [_engine_trouble(engine) for engine in _poor_engines()]
    rows += _updates()
    rows += [_job_trouble(job) for job in _failed_jobs()]
    rows += [_source_trouble(source) for source in _faulty_sources()]
    release = newer_release()
    return [*rows, _release(release)] if release else rows


def _first(rows: QuerySet[Row]) -> list[Row]:
    """The first of them. Mostly there is none, and that is quicker to ask than all columns."""
    return list(rows[:SHOWN_EACH]) if rows.exists() else []


def _release(release: Release) -> Trouble:
    return Trouble(
        key="release",
        text=f"abm {release.version} is out; this is {settings.VERSION}. It comes by: "
        f"{release.command}",
        url=release.notes,
        label="What is new",
        is_failure=False,
    )


def _poor_hosts() -> list[Host]:
    well = [Host.State.AVAILABLE, Host.State.AVAILABLE_NO_GPU, Host.State.STARTING]
    poor = Host.objects.filter(is_enabled=True).exclude(state__in=well)
    may_be_off = Q(access__is_always_on=False, state=Host.State.UNREACHABLE)
    return _first(poor.exclude(may_be_off))


def _host_trouble(host: Host) -> Trouble:
    why = host.state_text or f"{host.get_state_display()}."
    return Trouble(
        key=f"host-{host.pk}",
        text=f"{host}: {why}",
        url=reverse("hosts:host", args=[host.pk]),
        label="Open",
        since=host.seen_at,
        post_url=reverse("hosts:probe", args=[host.pk]),
        post_label="Test",
        is_failure=host.state != Host.State.DEGRADED,
        host_pk=host.pk,
    )


def _hosts_with_strays() -> list[Host]:
    return list(Host.objects.filter(is_enabled=True).exclude(strays=[])[:SHOWN_EACH])


def _strays(host: Host) -> list[Trouble]:
    """To be removed, with what that loses, on the host's page; to be adopted right away."""
    return [
        Trouble(
            key=f"stray-{stray['id'][:12]}",
            text=f"{stray['name']} on {host} is a container of abm without an engine.",
            url=f"{reverse('hosts:host', args=[host.pk])}#host-strays",
            label="Open or remove",
            post_url=reverse("engines:adopt_stray", args=[host.pk, stray["id"]]),
            post_label="Adopt",
            is_failure=False,
            host_pk=host.pk,
        )
        for stray in host.strays[:SHOWN_EACH]
    ]


def _poor_engines() -> list[Engine]:
    poor = Engine.objects.filter(state__in=[Engine.State.FAILED, Engine.State.MISSING])
    return _first(poor.select_related("host").defer("definition"))


def _engine_trouble(engine: Engine) -> Trouble:
    page = reverse("engines:engine", args=[engine.pk])
    if engine.state == Engine.State.MISSING:
        why = engine.state_text or "Its files are gone."
        text = f"{engine} on {engine.host}: {why}"
        return Trouble(f"engine-{engine.pk}", text, page, "Open", engine.state_at)
    return Trouble(
        key=f"engine-{engine.pk}",
        text=engine.error or f"{engine} on {engine.host} failed.",
        url=f"{page}?tab=logs",
        label="Logs",
        since=engine.state_at,
        post_url=reverse("engines:restart", args=[engine.pk]),
        post_label="Restart",
        host_pk=engine.host_id,
    )


def _updates() -> list[Trouble]:
    """All in one row: they are good news, and one button takes them."""
    if not Engine.objects.exclude(update_digest="").exists():
        return []
    names = list(engines_with_updates().values_list("display_name", flat=True))
    if not names:
        return []
    more = len(names) - NAMES_SHOWN
    shown = [*names[:NAMES_SHOWN], *([f"{more} more"] if more > 0 else [])]
    listed = " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
    is_one = len(names) == 1
    return [
        Trouble(
            key="updates",
            text=f"{'1 update' if is_one else f'{len(names)} updates'}: {listed}.",
            url=f"{reverse('engines:list')}?update=1",
            label="Show",
            post_url=reverse("engines:update_all"),
            post_label="Update" if is_one else "Update all",
            is_failure=False,
        )
    ]


def _failed_jobs() -> list[Job]:
    """Of the last day, not tried again, and not told already by their engine or their source."""
    later = Job.objects.filter(
        pk__gt=OuterRef("pk"), action=OuterRef("action"), subject=OuterRef("subject")
    )
    failed = jobs_shown().filter(
        ~Exists(later), status=Job.Status.FAILED, finished_at__gt=timezone.now() - LATELY
    )
    failed = failed.exclude(engine__state__in=[Engine.State.FAILED, Engine.State.MISSING])
    return _first(failed.exclude(action=Job.Action.SYNC))


def _job_trouble(job: Job) -> Trouble:
    return Trouble(
        key=f"job-{job.pk}",
        text=f"{job} failed: {job.error}",
        url=reverse("jobs:job", args=[job.pk]),
        label="Open",
        since=job.finished_at,
        post_url=reverse("jobs:retry", args=[job.pk]) if job.can_be_retried else "",
        post_label="Retry",
        host_pk=job.host_id,
    )


def _faulty_sources() -> list[CatalogSource]:
    return list(CatalogSource.objects.filter(is_enabled=True).exclude(error="")[:SHOWN_EACH])


def _source_trouble(source: CatalogSource) -> Trouble:
    return Trouble(
        key=f"source-{source.pk}",
        text=f"The catalog “{source}” could not be synced: {source.error}",
        url=reverse("catalog:list"),
        label="Catalog",
        since=source.checked_at,
        post_url=reverse("catalog:sync", args=[source.pk]),
        post_label="Sync",
        is_failure=False,
    )
