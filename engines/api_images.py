"""Images from elsewhere over the API: build, load, save, copy and push them, as jobs of a host."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponseBase
from ninja import Path, Router
from pydantic import Field

from accounts.models import User
from accounts.plain import PLAIN
from accounts.refused import Refused
from accounts.rest import (
    WHOLE,
    Id,
    Registered,
    Shape,
    Text,
    VariantId,
    Wish,
    bytes_of,
    endpoint,
    person,
)
from accounts.roles import require_host, require_role
from catalog.models import Variant
from engines.api_naming import engine_of, require_docker_now
from engines.sources import register, services
from engines.sources.forms import BuildForm
from engines.sources.saved import saved_image
from hosts.api import found
from hosts.models import Host
from jobs.api_answers import (
    JobAnswer,
    answered,
    job_answer,
    shown,
)
from jobs.models import Job

router = Router(tags=["images"], by_alias=True)
OPERATOR, ADMIN = User.Role.OPERATOR, User.Role.ADMIN
Plain = Annotated[str, Field(max_length=500, pattern=PLAIN)]
Value = Annotated[str, Field(max_length=2_000, pattern=PLAIN)]


class BuildWish(Wish):
    """A Git repository or a folder of abm's machine, and how it is built; empty is the default."""

    host_id: Text
    url: Plain = ""
    ref: Plain = Field("", description="Branch, tag or commit.")
    folder: Plain = Field("", description="Below MOUNT_ROOTS; instead of `url`.")
    sub_folder: Plain = ""
    dockerfile: Plain = "Dockerfile"
    image: Plain = Field("", description="With its tag; empty names it for this host alone.")
    name: Plain = Field("", description="In the catalog.")
    build_args: dict[str, Value] = Field(default={}, max_length=100)
    platform: Plain = Field("", examples=["linux/arm64"])
    network: Plain = Field("", json_schema_extra={"enum": ["", "host", "none"]})
    is_fresh: bool = False


class FileWish(Wish):
    """A file of images on abm's machine, below MOUNT_ROOTS."""

    host_id: Text
    path: Annotated[str, Field(min_length=1, max_length=500, pattern=PLAIN)]


class CopyWish(Wish):
    """Where the image is to be as well."""

    host_id: Text


class PushWish(Wish):
    """An image that was made on `hostId`, by its entry and tag, and its name in a registry."""

    entry_id: Annotated[int, Field(ge=1, le=2**53), WHOLE]
    tag: Annotated[str, Field(min_length=1, max_length=128, pattern=PLAIN)]
    host_id: Text
    to: Annotated[
        str, Field(min_length=1, max_length=400, pattern=PLAIN, examples=["ghcr.io/me/voice:1"])
    ]


class FoundImage(Shape):
    """An image that a job made, loaded or looked at; its size in bytes."""

    name: str
    platform: str
    size: int | None


class FoundImages(Shape):
    """What a job found; `engineInfo` in the words of engine.yaml, null where it said nothing."""

    success: bool = True
    job_id: int
    images: list[FoundImage]
    engine_info: dict[str, Any] | None


def verb(path: str, summary: str, role: User.Role) -> Registered:
    """An endpoint that makes a job: 202 at once, or 200 when it ended with `wait=true`."""
    return endpoint(
        router,
        "POST",
        path,
        response=JobAnswer,
        answers={202: JobAnswer},
        role=role,
        errors=[404, 409, 503],
        summary=summary,
    )


def docker_now(host_id: str) -> Host:
    """A Docker host that can be used now. Raises Refused."""
    host = found(host_id)
    if host.is_docker:
        require_docker_now(host)
    services.require_docker(host)
    return host


@verb("/images/build", "Build an image and offer it in the catalog", ADMIN)
def build(request: HttpRequest, wish: BuildWish, wait: bool = False) -> HttpResponseBase:
    """What it is it says itself, by an engine.yaml beside the Dockerfile or when it is started."""
    host = docker_now(wish.host_id)
    fields = wish.model_dump(exclude={"host_id", "build_args"})
    lines = [f"{name}={value}" for name, value in wish.build_args.items()]
    form = BuildForm({**fields, "host": host.pk, "build_args": "\n".join(lines)})
    if not form.is_valid():
        faults = "; ".join(
            f"{name}: {row['message']}"
            for name, rows in form.errors.get_json_data().items()
            for row in rows
        )
        raise Refused("BUILD_INVALID", faults, status=400)
    job = services.build_image(
        form.recipe(), image=form.image_name(), host=host, user=person(request)
    )
    return answered(request, job, job_answer, wait=wait)


@verb("/images/load", "Load images from a file of abm's machine", ADMIN)
def load(request: HttpRequest, wish: FileWish, wait: bool = False) -> HttpResponseBase:
    host = docker_now(wish.host_id)
    job = services.load_path(wish.path, host=host, user=person(request))
    return answered(request, job, job_answer, wait=wait)


@verb("/images/push", "Push an image that was made here", OPERATOR)
def push(request: HttpRequest, wish: PushWish, wait: bool = False) -> HttpResponseBase:
    """Its entry names the pushed one then, so that other hosts pull it from there."""
    host = docker_now(wish.host_id)
    variants = Variant.objects.select_related("entry").filter(is_withdrawn=False)
    variant = variants.filter(entry_id=wish.entry_id, tag=wish.tag).first()
    if variant is None:
        raise Refused(
            "IMAGE_NOT_FOUND",
            f"The catalog has no such entry with the tag {wish.tag[:80]}.",
            status=404,
            entryId=wish.entry_id,
            tag=wish.tag[:80],
        )
    job = services.push_image(variant, to=wish.to, host=host, user=person(request))
    return answered(request, job, job_answer, wait=wait)


@verb("/engines/{variant_id}/save-image", "Save an engine's image to a file", OPERATOR)
def save(request: HttpRequest, variant_id: VariantId, wait: bool = False) -> HttpResponseBase:
    """`/images/saved/{job_id}` gives it out for a day."""
    job = services.save_image(engine_of(variant_id), user=person(request))
    return answered(request, job, job_answer, wait=wait)


@verb("/engines/{variant_id}/copy-image", "Copy an engine's image to another host", OPERATOR)
def copy(
    request: HttpRequest, variant_id: VariantId, wish: CopyWish, wait: bool = False
) -> HttpResponseBase:
    """An install over there takes it as it is, without a registry."""
    to = docker_now(wish.host_id)
    job = services.copy_image(engine_of(variant_id), to=to, user=person(request))
    return answered(request, job, job_answer, wait=wait)


@endpoint(
    router,
    "GET",
    "/images/found/{job_id}",
    response=FoundImages,
    role=OPERATOR,
    errors=[404],
    summary="What a build, a load or a look at an image found",
)
def found_images(request: HttpRequest, job_id: Path[Id]) -> HttpResponseBase:
    """By these names an image can be registered."""
    job = shown(job_id)
    require_host(person(request), job.host_id)
    if job.action not in register.FROM_JOBS or job.status != Job.Status.SUCCEEDED:
        raise Refused("JOB_FOUND_NOTHING", f"{job} found no images.", status=404, jobId=job.pk)
    rows = [
        FoundImage(name=one.image, platform=one.platform, size=one.size)
        for one in register.all_known_of(job)
    ]
    info = dict(job.params.get("found") or {}) or None
    return bytes_of(FoundImages(job_id=job.pk, images=rows, engine_info=info))


@endpoint(
    router,
    "GET",
    "/images/saved/{job_id}",
    response=Any,
    role=OPERATOR,
    errors=[404],
    summary="Fetch a saved image",
    extra={"x-gives": "application/x-tar"},
)
def saved(request: HttpRequest, job_id: Path[Id]) -> HttpResponseBase:
    """As `docker save` writes it, streamed."""
    job, user = shown(job_id), person(request)
    require_role(user, OPERATOR, host=job.host_id)
    return saved_image(job)
