"""Entries of the catalog over the API, and what an admin says of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponseBase
from ninja import Path, Query, Router
from pydantic import Field
from pydantic.alias_generators import to_camel

from accounts.models import User
from accounts.plain import PLAIN
from accounts.refused import Refused
from accounts.rest import Id, Name, Shape, Text, Wish, bytes_of, endpoint, person
from catalog import services
from catalog.models import CatalogEntry, Variant
from catalog.overriding import FIELDS, say_of_entry
from catalog.queries import CatalogFilter, entries_page, known

router = Router(tags=["catalog"], by_alias=True)
ADMIN = User.Role.ADMIN
COLUMNS = {to_camel(name): column for name, column in FIELDS.items()}
"""What can be said otherwise, in the words of the API."""
Said = Annotated[str, Field(examples=["displayName"], json_schema_extra={"enum": [*COLUMNS]})]


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


class EntryChange(Wish):
    """What is to count instead of the source's word; what is absent stays as it is."""

    display_name: Name | None = None
    description: Annotated[str, Field(max_length=5_000)] | None = None
    license: Annotated[str, Field(max_length=100, pattern=PLAIN)] | None = None
    supported_languages: list[Text] | None = Field(None, max_length=300)
    default_model: Annotated[str, Field(max_length=200, pattern=PLAIN)] | None = None
    models: list[dict[str, Any]] | None = Field(None, max_length=500)
    parameters: dict[str, Any] | None = Field(None, max_length=100)
    constraints: dict[str, Any] | None = None
    capabilities: dict[str, Any] | None = None


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
        overridden=sorted(name for name, column in COLUMNS.items() if column in entry.overrides),
    )


def _entry(pk: int) -> CatalogEntry:
    entry = known().filter(pk=pk).first()
    if entry is None:
        raise Refused("ENTRY_NOT_FOUND", "The catalog has no such entry.", status=404, entryId=pk)
    return entry


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
    "PATCH",
    "/catalog/entries/{entry_id}/overrides",
    response=EntryDetails,
    role=ADMIN,
    errors=[400, 404],
    summary="Say something else than the source",
)
def change_entry(request: HttpRequest, entry_id: Path[Id], wish: EntryChange) -> HttpResponseBase:
    """It survives every sync. An entry that was made here is changed itself."""
    said = {name: getattr(wish, name) for name in wish.model_fields_set}
    values = {name: value for name, value in said.items() if value is not None}
    say_of_entry(_entry(entry_id), values=values, user=person(request))
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


@endpoint(
    router,
    "DELETE",
    "/catalog/entries/{entry_id}/overrides/{field}",
    response=EntryDetails,
    role=ADMIN,
    errors=[404],
    summary="Take the source's word again for one field",
)
def reset_override(request: HttpRequest, entry_id: Path[Id], field: Path[Said]) -> HttpResponseBase:
    if field not in COLUMNS:
        raise Refused("FIELD_NOT_FOUND", f"No field is called {field[:40]}.", status=404)
    services.reset_override(_entry(entry_id), field=COLUMNS[field], user=person(request))
    return bytes_of(entry_details(entry_id))
