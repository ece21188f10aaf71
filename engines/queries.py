"""What pages ask of engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import Exists, F, OuterRef, Prefetch, Q, QuerySet

from accounts.models import User
from catalog.models import EngineType
from engines.models import Engine, Trial
from hosts.models import Host
from jobs.models import Job

ENGINES_PER_PAGE = 20


@dataclass(frozen=True, slots=True)
class EngineFilter:
    """What the list of engines is narrowed to; it stands in the page's address."""

    type: str = ""
    host: str = ""
    state: str = ""
    text: str = ""
    has_update: bool = False
    page: int = 1

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """From an address; what makes no sense is left out."""
        kind, state, page = query.get("type", ""), query.get("state", ""), query.get("page", "")
        return cls(
            type=kind if kind in EngineType.values else "",
            host=query.get("host", "")[:64],
            state=state if state in Engine.State.values else "",
            text=query.get("q", "").strip()[:100],
            has_update=query.get("update") == "1",
            page=int(page) if page.isdecimal() and len(page) < 6 else 1,
        )

    @property
    def is_set(self) -> bool:
        return bool(self.type or self.host or self.text or self.is_about_state)

    @property
    def is_about_state(self) -> bool:
        """Whether an engine may come into the list or leave it by what happens to it."""
        return bool(self.state or self.has_update)

    @property
    def query(self) -> str:
        """As a part of an address, without the page."""
        values = {"type": self.type, "host": self.host, "state": self.state, "q": self.text}
        values["update"] = "1" if self.has_update else ""
        return urlencode({key: value for key, value in values.items() if value})


def engines_shown() -> QuerySet[Engine]:
    """Engines that exist for a person: installed ones, and those with work under way."""
    at_work = Exists(Job.objects.filter(engine=OuterRef("pk"), status__in=Job.OPEN))
    open_jobs = Job.objects.filter(status__in=Job.OPEN)
    return (
        Engine.objects.filter(~Q(state=Engine.State.ABSENT) | at_work)
        .select_related("host")
        .prefetch_related(Prefetch("jobs", queryset=open_jobs, to_attr="open_jobs"))
    )


def newer_exists() -> Q:
    """As `Engine.has_update`, for the database."""
    return ~Q(update_digest="") & ~Q(update_digest=F("skipped_digest"))


def engine_shown(pk: int) -> Engine | None:
    """One engine as the list shows it; None if it is gone or was never installed."""
    return engines_shown().filter(pk=pk).first()


def engines_page(wanted: EngineFilter) -> Page[Engine]:
    """One page of the list, by type, name and host."""
    engines = engines_shown()
    if wanted.type:
        engines = engines.filter(engine_type=wanted.type)
    if wanted.host:
        engines = engines.filter(host__host_id=wanted.host)
    if wanted.state:
        engines = engines.filter(state=wanted.state)
    if wanted.has_update:
        engines = engines.filter(newer_exists())
    if wanted.text:
        engines = engines.filter(
            Q(display_name__icontains=wanted.text) | Q(name__icontains=wanted.text)
        )
    return Paginator(engines, ENGINES_PER_PAGE).get_page(wanted.page)


def hosts_with_engines() -> QuerySet[Host]:
    return Host.objects.filter(engines__isnull=False).distinct()


def trials_of(engine: Engine, user: User) -> list[Trial]:
    """A person's last results with an engine, newest first."""
    return list(Trial.objects.filter(engine=engine, user=user)[:10])


def recordings_of(user: User) -> list[Trial]:
    """What a person had spoken lately, on any engine: to be heard by an STT engine."""
    spoken = Trial.objects.filter(user=user).exclude(audio="")
    return list(spoken.select_related("engine")[:10])
