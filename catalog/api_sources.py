"""Where the catalog comes from, over the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponseBase
from ninja import Path, Router
from pydantic import Field

from accounts.models import User
from accounts.plain import PLAIN, UNSEEN
from accounts.refused import Refused
from accounts.rest import Id, Name, Said, Shape, Wish, bytes_of, endpoint, person
from catalog import services
from catalog.models import CatalogSource
from jobs.api_answers import (
    JobAnswer,
    answered,
    job_answer,
)

router = Router(tags=["catalog"], by_alias=True)
OPERATOR, ADMIN = User.Role.OPERATOR, User.Role.ADMIN
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        pattern=PLAIN,
        json_schema_extra={"pattern": rf"^ *[hH][tT][tT][pP][sS]?://[^\s/?#{UNSEEN}][^{UNSEEN}]*$"},
    ),
]


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


class SourceChange(Wish):
    """What is absent stays as it is; one that comes with abm keeps its name and address."""

    name: Name | None = None
    url: Url | None = None
    is_enabled: bool | None = None
    allows_private_addresses: bool | None = None


class SourceWish(Wish):
    """A catalog at an address."""

    name: Name
    url: Url
    allows_private_addresses: bool = False


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


def _source(pk: int) -> CatalogSource:
    """Raises Refused 404."""
    source = CatalogSource.objects.filter(pk=pk).first()
    if source is None:
        raise Refused("SOURCE_NOT_FOUND", "There is no such source.", status=404, sourceId=pk)
    return source


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
    "PATCH",
    "/catalog/sources/{source_id}",
    response=SourceShape,
    role=ADMIN,
    errors=[400, 404, 409],
    summary="Change a source, or switch it on or off",
)
def change_source(
    request: HttpRequest, source_id: Path[Id], wish: SourceChange
) -> HttpResponseBase:
    """Another address is fetched at once, by a job."""
    source = services.change_source(
        _source(source_id),
        name=wish.name,
        url=wish.url,
        is_enabled=wish.is_enabled,
        allows_private=wish.allows_private_addresses,
        user=person(request),
    )
    return bytes_of(source_shape(source))


@endpoint(
    router,
    "DELETE",
    "/catalog/sources/{source_id}",
    response=Said,
    role=ADMIN,
    errors=[404, 409],
    summary="Remove a source",
)
def remove_source(request: HttpRequest, source_id: Path[Id]) -> HttpResponseBase:
    """What it listed goes with it; engines that were installed from it stay as they are."""
    source = _source(source_id)
    services.remove_source(source, user=person(request))
    return bytes_of(Said(message=f"Source '{source.name}' was removed"))


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
    job = services.sync_source(_source(source_id), user=person(request))
    return answered(request, job, job_answer, wait=wait)
