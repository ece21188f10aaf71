"""What pages ask of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import Case, Exists, OuterRef, Prefetch, Q, QuerySet, Value, When

from catalog.models import CatalogEntry, CatalogSource, EngineType, Variant
from catalog.words import language_choices
from jobs.models import Job

ENTRIES_PER_PAGE = 60


@dataclass(frozen=True, slots=True)
class CatalogFilter:
    """What the catalog is narrowed to; it stands in the page's address."""

    text: str = ""
    type: str = ""
    language: str = ""
    license: str = ""
    source: str = ""
    gpu: str = ""
    here: str = ""
    """`yes`: only what runs on a host of this abm."""
    page: int = 1

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """From an address; what makes no sense is left out."""
        page = query.get("page", "")
        kind, gpu = query.get("type", ""), query.get("gpu", "")
        return cls(
            text=query.get("q", "").strip()[:100],
            type=kind if kind in EngineType.values else "",
            language=query.get("language", "")[:16],
            license=query.get("license", "")[:100],
            source=query.get("source", "")[:20],
            gpu=gpu if gpu in {"yes", "no"} else "",
            here="yes" if query.get("here") == "yes" else "",
            page=int(page) if page.isdecimal() and len(page) < 6 else 1,
        )

    @property
    def is_set(self) -> bool:
        return self != type(self)(page=self.page)

    @property
    def query(self) -> str:
        """As a part of an address, without the page."""
        values = {
            "q": self.text,
            "type": self.type,
            "language": self.language,
            "license": self.license,
            "source": self.source,
            "gpu": self.gpu,
            "here": self.here,
        }
        return urlencode({key: value for key, value in values.items() if value})


def known() -> QuerySet[CatalogEntry]:
    """Every entry with its variants that are offered, and where those are installed."""
    variants = Variant.objects.filter(is_withdrawn=False).prefetch_related("engines__host")
    entries = CatalogEntry.objects.select_related("source")
    # The model names the attribute already, for its own properties.
    return entries.prefetch_related(  # type: ignore[no-redef]
        Prefetch("variants", queryset=variants, to_attr="offered_variants")
    )


def offered() -> QuerySet[CatalogEntry]:
    """What can be installed."""
    return known().filter(is_withdrawn=False, source__is_enabled=True)


def entries_page(wanted: CatalogFilter) -> Page[CatalogEntry]:
    """One page of the catalog: what comes with abm first."""
    entries = offered()
    if wanted.type:
        entries = entries.filter(engine_type=wanted.type)
    if wanted.text:
        entries = entries.filter(
            Q(name__icontains=wanted.text)
            | _said("display_name", "icontains", wanted.text)
            | _said("description", "icontains", wanted.text)
        )
    if wanted.license:
        entries = entries.filter(_said("license", "exact", wanted.license))
    if wanted.source.isdecimal():
        entries = entries.filter(source_id=int(wanted.source))
    if wanted.gpu:
        free = Variant.objects.filter(entry=OuterRef("pk"), needs_gpu=False, is_withdrawn=False)
        entries = entries.filter(Exists(free) if wanted.gpu == "no" else ~Exists(free))
    if wanted.here:
        entries = entries.exclude(folder="")
    if wanted.language:
        # SQLite and PostgreSQL share no search in JSON lists; the list is short text to both.
        entries = entries.filter(_said("supported_languages", "icontains", f'"{wanted.language}"'))
    ordered = entries.order_by("source_id", _by_type(), "name")
    return Paginator(ordered, ENTRIES_PER_PAGE).get_page(wanted.page)


def _said(field: str, lookup: str, value: str) -> Q:
    """A test of what counts: the admin's word where there is one, else the source's."""
    is_overridden = Q(overrides__has_key=field)
    word = Q(**{f"overrides__{field}__{lookup}": value})
    return (is_overridden & word) | (~is_overridden & Q(**{f"{field}__{lookup}": value}))


def _by_type() -> Case:
    """Speech first, as the types are declared."""
    return Case(
        *(When(engine_type=kind, then=Value(rank)) for rank, kind in enumerate(EngineType.values))
    )


def choices() -> dict[str, list[tuple[str, str]]]:
    """What the chips of the catalog offer."""
    rows = CatalogEntry.objects.filter(is_withdrawn=False, source__is_enabled=True)
    codes: set[str] = set()
    licenses: set[str] = set()
    columns = rows.values_list("supported_languages", "license", "overrides")
    for languages, license_name, overrides in columns:
        codes.update(map(str, overrides.get("supported_languages", languages)))
        licenses.add(overrides.get("license", license_name))
    sources = CatalogSource.objects.filter(is_enabled=True, entries__isnull=False).distinct()
    return {
        "types": list(EngineType.choices),
        "languages": language_choices(codes),
        "licenses": [(name, name) for name in sorted(licenses) if name],
        "sources_with_entries": [(str(source.pk), source.name) for source in sources],
    }


@dataclass(frozen=True, slots=True)
class SourceShown:
    """A source as its row shows it."""

    source: CatalogSource
    job: Job | None
    """The sync that waits or runs."""

    @property
    def can_be_synced(self) -> bool:
        is_custom = self.source.kind == CatalogSource.Kind.CUSTOM
        return self.source.is_enabled and not is_custom and self.job is None


def sources_shown() -> list[SourceShown]:
    """Every source with the job that syncs it now."""
    jobs = {
        job.params.get("source"): job
        for job in Job.objects.filter(action=Job.Action.SYNC, status__in=Job.OPEN)
    }
    return [SourceShown(source, jobs.get(source.pk)) for source in CatalogSource.objects.all()]
