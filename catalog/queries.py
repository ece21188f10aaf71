"""What pages ask of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from django.core.paginator import Page, Paginator
from django.db.models import Case, Prefetch, Q, QuerySet, Value, When

from catalog.models import CatalogEntry, CatalogSource, EngineType, Variant
from catalog.words import language_choices

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


def offered() -> QuerySet[CatalogEntry]:
    """What can be installed, with its variants and where those are installed."""
    variants = Variant.objects.filter(is_withdrawn=False).prefetch_related("engines__host")
    return (
        CatalogEntry.objects.filter(is_withdrawn=False, source__is_enabled=True)
        .select_related("source")
        .prefetch_related(Prefetch("variants", queryset=variants, to_attr="offered_variants"))
    )


def entries_page(wanted: CatalogFilter) -> Page[CatalogEntry]:
    """One page of the catalog: what comes with abm first."""
    entries = offered()
    if wanted.type:
        entries = entries.filter(engine_type=wanted.type)
    if wanted.text:
        text = wanted.text
        entries = entries.filter(
            Q(name__icontains=text)
            | Q(display_name__icontains=text)
            | Q(description__icontains=text)
        )
    if wanted.license:
        entries = entries.filter(license=wanted.license)
    if wanted.source.isdecimal():
        entries = entries.filter(source_id=int(wanted.source))
    if wanted.gpu:
        free = Q(variants__needs_gpu=False, variants__is_withdrawn=False)
        entries = entries.filter(free) if wanted.gpu == "no" else entries.exclude(free)
    if wanted.here:
        entries = entries.exclude(folder="")
    if wanted.language:
        # SQLite has no search in JSON lists that PostgreSQL shares; the list is small text.
        entries = entries.filter(supported_languages__icontains=f'"{wanted.language}"')
    return Paginator(
        entries.distinct().order_by("source_id", _by_type(), "name"), ENTRIES_PER_PAGE
    ).get_page(wanted.page)


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
    for languages, license_name in rows.values_list("supported_languages", "license"):
        codes.update(str(code) for code in languages)
        licenses.add(license_name)
    sources = CatalogSource.objects.filter(is_enabled=True, entries__isnull=False).distinct()
    return {
        "types": list(EngineType.choices),
        "languages": language_choices(codes),
        "licenses": [(name, name) for name in sorted(licenses) if name],
        "sources_with_entries": [(str(source.pk), source.name) for source in sources],
    }
