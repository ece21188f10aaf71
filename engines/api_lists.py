"""Lists of engines and images over the API, and the sync of the catalog."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from ninja import Router

from accounts.models import User
from accounts.rest import Shape, bytes_of, endpoint, person
from catalog.models import CatalogSource
from catalog.queries import offered
from catalog.services import sync_all
from engines.api_shapes import ImagesAnswer, StatusAnswer, image_shape, status_answer
from engines.queries import engines_shown
from jobs.ending import job_ended
from jobs.waiting import answer_later

router = Router(tags=["engines"], by_alias=True)


class SyncAnswer(Shape):
    """What the sources listed: engines that are new, changed or withdrawn, or as they were."""

    success: bool = True
    added: int
    updated: int
    skipped: int
    message: str


@endpoint(router, "GET", "/engines/status", response=StatusAnswer, summary="List engines")
def engines_status(request: HttpRequest) -> HttpResponseBase:
    engines = engines_shown().prefetch_related("engine_models", "host__gpus")
    return bytes_of(status_answer(engines))


@endpoint(router, "GET", "/engines/catalog", response=ImagesAnswer, summary="List images")
def engines_catalog(request: HttpRequest) -> HttpResponseBase:
    shapes = (image_shape(entry) for entry in offered())
    return bytes_of(ImagesAnswer(images=[shape for shape in shapes if shape is not None]))


@endpoint(
    router,
    "POST",
    "/engines/catalog/sync",
    response=SyncAnswer,
    role=User.Role.OPERATOR,
    errors=[409],
    summary="Sync the catalog",
)
def sync_catalog(request: HttpRequest) -> HttpResponseBase:
    """Fetch every online source and wait for all; a source that fails is told in the message."""
    before = _entries()
    jobs = sync_all(user=person(request))

    async def wait() -> None:
        for job in jobs:
            await job_ended(job.pk, seconds=120)

    return answer_later(request, wait=wait, finish=lambda _: bytes_of(_synced(before)))


def _entries() -> dict[int, Any]:
    return dict(offered().values_list("pk", "updated_at"))


def _synced(before: dict[int, Any]) -> SyncAnswer:
    after = _entries()
    added = len(after.keys() - before.keys())
    updated = sum(before[pk] != at for pk, at in after.items() if pk in before)
    failed = CatalogSource.objects.filter(is_enabled=True).exclude(error="")
    faults = " ".join(f"{source}: {source.error}" for source in failed)
    skipped = len(after) - added - updated
    return SyncAnswer(
        success=not faults,
        added=added,
        updated=updated,
        skipped=skipped,
        message=faults or f"{added} added, {updated} updated, {skipped} as they were",
    )
