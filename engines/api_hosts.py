"""What a host keeps, over the API: disk, models, containers without an engine; giving it back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from ninja import Router
from pydantic import Field

from accounts.models import User
from accounts.rest import HostId, Registered, Shape, Text, Wish, bytes_of, endpoint, person
from accounts.roles import require_role
from engines import storage, strays
from hosts import services as host_services
from hosts.api import found
from hosts.models import Host, HostImage
from jobs.api_answers import (
    JobAnswer,
    answered,
    job_answer,
)

router = Router(tags=["hosts"], by_alias=True)
OPERATOR, ADMIN = User.Role.OPERATOR, User.Role.ADMIN


class DiskAnswer(Shape):
    """What takes a host's disk, as it was read last; null until it was. Sizes in bytes."""

    success: bool = True
    host_id: str
    read_at: datetime | None
    is_being_read: bool
    is_new: bool
    disk: dict[str, Any]


class PlacesAnswer(Shape):
    """Models by folder and volume, with the engines that see them."""

    success: bool = True
    host_id: str
    read_at: datetime | None
    places: list[dict[str, Any]]


class ImageRow(Shape):
    """An image that engines of this abm run or ran there."""

    image_id: str
    name: str


class HostImages(Shape):
    """Images on a host that are abm's."""

    success: bool = True
    host_id: str
    images: list[ImageRow]


class StraysAnswer(Shape):
    """Containers of this abm that belong to no engine."""

    success: bool = True
    host_id: str
    containers: list[dict[str, Any]]


class ReclaimWish(Wish):
    """What is to go, by the `choice` of the disk's rows."""

    chosen: list[Text] = Field(min_length=1, max_length=1_000)


class DeleteWish(Wish):
    """Models by their path below a place."""

    source: Text
    path: Text


def verb(method: str, path: str, summary: str, role: User.Role) -> Registered:
    """An endpoint that makes a job: 202 at once, or 200 when it ended with `wait=true`."""
    return endpoint(
        router,
        method,
        f"/engine-hosts/{{host_id}}/{path}",
        response=JobAnswer,
        answers={202: JobAnswer},
        role=role,
        errors=[400, 404, 409],
        summary=summary,
    )


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}/disk",
    response=DiskAnswer,
    errors=[404],
    summary="What takes a host's disk",
)
def get_disk(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    return bytes_of(_disk(found(host_id)))


def _disk(host: Host) -> DiskAnswer:
    return DiskAnswer(
        host_id=host.host_id,
        read_at=host.disk_at,
        is_being_read=host.is_disk_being_read,
        is_new=host.is_disk_read,
        disk=host.disk,
    )


@endpoint(
    router,
    "POST",
    "/engine-hosts/{host_id}/disk/read",
    response=DiskAnswer,
    role=OPERATOR,
    errors=[404],
    summary="Read a host's disk again",
)
def read_disk(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    """A worker reads it; `isBeingRead` says until when."""
    host = found(host_id)
    require_role(person(request), OPERATOR, host=host.pk)
    if not host.is_disk_being_read:
        host_services.forget_disk(host)
    return bytes_of(_disk(found(host_id)))


@verb("POST", "reclaim", "Give back disk space", ADMIN)
def reclaim(
    request: HttpRequest, host_id: HostId, wish: ReclaimWish, wait: bool = False
) -> HttpResponseBase:
    job = storage.reclaim_disk(found(host_id), chosen=wish.chosen, user=person(request))
    return answered(request, job, job_answer, wait=wait)


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}/images",
    response=HostImages,
    errors=[404],
    summary="List abm's images on a host",
)
def list_images(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    host = found(host_id)
    rows = HostImage.objects.filter(host=host).order_by("name", "image_id")
    images = [ImageRow(image_id=row.image_id, name=row.name) for row in rows]
    return bytes_of(HostImages(host_id=host.host_id, images=images))


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}/models",
    response=PlacesAnswer,
    errors=[404],
    summary="List the models on a host",
)
def list_places(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    host = found(host_id)
    return bytes_of(
        PlacesAnswer(host_id=host.host_id, read_at=host.disk_at, places=host.model_places)
    )


@verb("POST", "models/delete", "Delete models", OPERATOR)
def delete_models(
    request: HttpRequest, host_id: HostId, wish: DeleteWish, wait: bool = False
) -> HttpResponseBase:
    host, user = found(host_id), person(request)
    job = storage.delete_models(host, source=wish.source, path=wish.path, user=user)
    return answered(request, job, job_answer, wait=wait)


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}/strays",
    response=StraysAnswer,
    errors=[404],
    summary="List containers without an engine",
)
def list_strays(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    host = found(host_id)
    return bytes_of(StraysAnswer(host_id=host.host_id, containers=host.strays))


@verb("POST", "strays/{container}/adopt", "Make an engine of a container again", OPERATOR)
def adopt_stray(
    request: HttpRequest, host_id: HostId, container: str, wait: bool = False
) -> HttpResponseBase:
    job = strays.adopt_stray(found(host_id), container, user=person(request))
    return answered(request, job, job_answer, wait=wait)


@verb("DELETE", "strays/{container}", "Remove a container without an engine", OPERATOR)
def remove_stray(
    request: HttpRequest, host_id: HostId, container: str, wait: bool = False
) -> HttpResponseBase:
    job = strays.remove_stray(found(host_id), container, user=person(request))
    return answered(request, job, job_answer, wait=wait)
