"""The catalog over the API: sources, entries, and what an admin says of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponseBase
from ninja import Path, Query, Router
from pydantic import Field

from accounts.models import User
from accounts.plain import PLAIN, UNSEEN
from accounts.refused import Refused
from accounts.rest import Id, Name, Shape, Text, Wish, bytes_of, endpoint, person
from catalog import services
from catalog.models import CatalogEntry, CatalogSource, Variant
from catalog.queries import CatalogFilter, entries_page, known
from jobs.api_answers import JobAnswer, answered, job_shape

router = Router(tags=["catalog"], by_alias=True)
OPERATOR, ADMIN = User.Role.OPERATOR, User.Role.ADMIN


class SourceShape(Shape):
    """A place that lists engines; `error` says why its last sync failed."""

    source_id: int
    name: str
    kind: str
    url: str
    is_enabled: bool
    allows_private_addresses: bool
    synced_at: datetime | None
    checked_at: datetime | None
    error: str
    problems: list[Any]


class SourcesAnswer(Shape):
    """Every source."""

    success: bool = True
    sources: list[SourceShape]
    count: int


class SourceWish(Wish):
    """A catalog at an address."""

    name: Name
    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            pattern=PLAIN,
            json_schema_extra={
                "pattern": rf"^ *[hH][tT][tT][pP][sS]?://[^\s/?#{UNSEEN}][^{UNSEEN}]*$"
            },
        ),
    ]
    allows_private_addresses: bool = False


class VariantShape(Shape):
    """An image tag, or the files of an engine that runs as a process; sizes in bytes."""

    tag: str
    image: str | None
    platforms: list[str]
    requires_gpu: bool
    digest: str | None
    download_bytes: int | None
    disk_bytes: int | None


class EntryShape(Shape):
    """An engine of the catalog, with an admin's word where there is one."""

    entry_id: int
    name: str
    engine_type: str
    display_name: str
    description: str
    version: str
    license: str
    source: str
    source_id: int
    supported_languages: list[str]
    variants: list[VariantShape]
    default_model: str
    memory_bytes: int | None
    vram_bytes: int | None
    runs_as_process: bool
    is_withdrawn: bool
    installed: list[str]


class EntryDetails(EntryShape):
    """All of an entry."""

    models: list[dict[str, Any]]
    parameters: dict[str, Any]
    constraints: dict[str, Any]
    capabilities: dict[str, Any]
    upstream_name: str
    upstream_url: str
    overridden: list[str]


class EntriesAnswer(Shape):
    """A page of the catalog; `page` counts from 1."""

    success: bool = True
    entries: list[EntryShape]
    count: int
    page: int
    pages: int


class EntriesWanted(Shape):
    """What the list is narrowed to."""

    q: Text = ""
    type: Literal["", "tts", "stt", "text", "audio"] = ""
    language: Text = ""
    license: Text = ""
    source_id: int | None = Field(None, ge=1, le=2**53)
    gpu: Literal["", "yes", "no"] = ""
    page: int = Field(1, ge=1, le=10_000)


def source_shape(source: CatalogSource) -> SourceShape:
    """A source as the API tells it."""
    return SourceShape(
        source_id=source.pk,
        name=source.name,
        kind=source.kind,
        url=source.url,
        is_enabled=source.is_enabled,
        allows_private_addresses=source.allows_private_addresses,
        synced_at=source.synced_at,
        checked_at=source.checked_at,
        error=source.error,
        problems=source.problems,
    )


def _variant(variant: Variant) -> VariantShape:
    return VariantShape(
        tag=variant.tag,
        image=variant.image or None,
        platforms=variant.platforms,
        requires_gpu=variant.needs_gpu,
        digest=variant.digest or None,
        download_bytes=variant.download_bytes,
        disk_bytes=variant.disk_bytes,
    )


def _values(entry: CatalogEntry) -> dict[str, Any]:
    engines = [engine for row in entry.offered_variants for engine in row.engines.all()]
    return {
        "entry_id": entry.pk,
        "name": entry.name,
        "engine_type": entry.engine_type,
        "display_name": entry.effective("display_name"),
        "description": entry.effective("description"),
        "version": entry.version,
        "license": entry.effective("license"),
        "source": entry.source.name,
        "source_id": entry.source_id,
        "supported_languages": entry.effective("supported_languages"),
        "variants": [_variant(row) for row in entry.offered_variants],
        "default_model": entry.effective("default_model"),
        "memory_bytes": entry.memory_bytes,
        "vram_bytes": entry.vram_bytes,
        "runs_as_process": bool(entry.folder),
        "is_withdrawn": entry.is_withdrawn,
        "installed": [engine.address for engine in engines if engine.is_installed],
    }


def entry_shape(entry: CatalogEntry) -> EntryShape:
    """An entry as the API tells it."""
    return EntryShape(**_values(entry))


def entry_details(pk: int) -> EntryDetails:
    """All of an entry. Raises Refused 404."""
    entry = _entry(pk)
    return EntryDetails(
        **_values(entry),
        models=entry.effective("model_rows"),
        parameters=entry.effective("parameters"),
        constraints=entry.effective("constraints"),
        capabilities=entry.effective("capabilities"),
        upstream_name=entry.upstream_name,
        upstream_url=entry.upstream_url,
        overridden=sorted(entry.overrides),
    )


def _entry(pk: int) -> CatalogEntry:
    entry = known().filter(pk=pk).first()
    if entry is None:
        raise Refused("ENTRY_NOT_FOUND", "The catalog has no such entry.", status=404, entryId=pk)
    return entry


@endpoint(router, "GET", "/catalog/sources", response=SourcesAnswer, summary="List sources")
def list_sources(request: HttpRequest) -> HttpResponseBase:
    shapes = [source_shape(source) for source in CatalogSource.objects.all()]
    return bytes_of(SourcesAnswer(sources=shapes, count=len(shapes)))


@endpoint(
    router,
    "POST",
    "/catalog/sources",
    response=SourceShape,
    role=ADMIN,
    errors=[400, 409],
    summary="Add a source",
)
def add_source(request: HttpRequest, wish: SourceWish) -> HttpResponseBase:
    """It is synced at once, by a job."""
    source = services.add_source(
        name=wish.name,
        url=wish.url,
        allows_private=wish.allows_private_addresses,
        user=person(request),
    )
    return bytes_of(source_shape(source))


@endpoint(
    router,
    "POST",
    "/catalog/sources/{source_id}/sync",
    response=JobAnswer,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[404, 409],
    summary="Sync a source",
)
def sync_source(request: HttpRequest, source_id: Path[Id], wait: bool = False) -> HttpResponseBase:
    source = CatalogSource.objects.filter(pk=source_id).first()
    if source is None:
        raise Refused(
            "SOURCE_NOT_FOUND", "There is no such source.", status=404, sourceId=source_id
        )
    job = services.sync_source(source, user=person(request))
    return answered(request, job, lambda ended: JobAnswer(job=job_shape(ended)), wait=wait)


@endpoint(
    router, "GET", "/catalog/entries", response=EntriesAnswer, summary="List engines on offer"
)
def list_entries(request: HttpRequest, wanted: Query[EntriesWanted]) -> HttpResponseBase:
    found = entries_page(
        CatalogFilter(
            text=wanted.q.strip()[:100],
            type=wanted.type,
            language=wanted.language[:16],
            license=wanted.license[:100],
            source=str(wanted.source_id or ""),
            gpu=wanted.gpu,
            page=wanted.page,
        )
    )
    shapes = [entry_shape(entry) for entry in found]
    return bytes_of(
        EntriesAnswer(
            entries=shapes,
            count=found.paginator.count,
            page=found.number,
            pages=found.paginator.num_pages,
        )
    )


@endpoint(
    router,
    "GET",
    "/catalog/entries/{entry_id}",
    response=EntryDetails,
    errors=[404],
    summary="Get an entry",
)
def get_entry(request: HttpRequest, entry_id: Path[Id]) -> HttpResponseBase:
    return bytes_of(entry_details(entry_id))


@endpoint(
    router,
    "DELETE",
    "/catalog/entries/{entry_id}/overrides",
    response=EntryDetails,
    role=ADMIN,
    errors=[404],
    summary="Take the source's word again",
)
def reset_overrides(request: HttpRequest, entry_id: Path[Id]) -> HttpResponseBase:
    services.reset_override(_entry(entry_id), user=person(request))
    return bytes_of(entry_details(entry_id))
