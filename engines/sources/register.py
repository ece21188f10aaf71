"""Registering an image in the catalog, with what a job has found out about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from accounts.models import User
from catalog.custom import CustomImage, write_custom
from catalog.definition import EngineDefinition
from catalog.models import Variant
from engines.sources.registering import registering
from engines.sources.services import tagged
from jobs.models import Job

MOST_JOBS = 200
FROM_JOBS = (Job.Action.BUILD, Job.Action.LOAD_IMAGE, Job.Action.EXAMINE)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an image before anybody fills in the form. Size is bytes."""

    image: str = ""
    found: Mapping[str, Any] = field(default_factory=dict)
    """Its definition, where it said one."""
    job: Job | None = None
    platform: str = ""
    size: int | None = None
    made_on: str = ""
    recipe: dict[str, Any] | None = None

    @property
    def initial(self) -> dict[str, Any]:
        """What the form begins with."""
        return registering(self.found, self.image)


def all_known_of(job: Job) -> list[Known]:
    """Every image that a job has made, loaded or looked at, by its name."""
    names = [row["name"] for row in job.params.get("images") or [] if row["name"]]
    images = names if job.action == Job.Action.LOAD_IMAGE else [""]
    return [known_of(str(job.pk), image=image) for image in images]


def newest_known(image: str) -> Known:
    """What the newest job that had to do with this image found out about it."""
    wanted = tagged(image)
    jobs = Job.objects.filter(action__in=FROM_JOBS, status=Job.Status.SUCCEEDED)
    for job in jobs.order_by("-pk")[:MOST_JOBS]:
        for known in all_known_of(job):
            if known.image and tagged(known.image) == wanted:
                return known
    return Known(image)


def known_of(job_pk: str, *, image: str) -> Known:
    """What a job found out about an image; `image` chooses where it loaded several."""
    job = None
    if job_pk.isdecimal() and len(job_pk) < 16:
        job = Job.objects.select_related("host").filter(pk=job_pk, action__in=FROM_JOBS).first()
    if job is None or job.host is None:
        return Known(image)
    params = job.params
    if job.action == Job.Action.LOAD_IMAGE:
        rows = [row for row in params.get("images") or [] if row["name"]]
        row = next((row for row in rows if row["name"] == image), rows[0] if rows else None)
        if row is None:
            return Known(image, job=job)
        return Known(
            row["name"],
            job=job,
            platform=row["platform"],
            size=row["size"],
            made_on=job.host.host_id,
        )
    is_built = job.action == Job.Action.BUILD
    return Known(
        str(tagged(params["image"])),
        found=params.get("found") or {},
        job=job,
        platform=params.get("platform", ""),
        size=params.get("size"),
        made_on=job.host.host_id if params.get("is_local") else "",
        recipe=params["recipe"] if is_built else None,
    )


def register_image(
    definition: EngineDefinition,
    *,
    image: str,
    needs_gpu: bool,
    known: Known,
    user: User | None,
) -> Variant:
    """Offer an image in the catalog. Raises Refused ENTRY_EXISTS.

    What the job knows counts only for the image that it looked at.
    """
    named = tagged(image)
    is_same = bool(known.image) and tagged(known.image) == named
    custom = CustomImage(
        image=str(named).rpartition(":")[0],
        tag=named.tag,
        platforms=(known.platform,) if is_same and known.platform else (),
        needs_gpu=needs_gpu,
        disk_bytes=known.size if is_same else None,
        made_on=known.made_on if is_same else "",
        recipe=known.recipe if is_same else None,
    )
    return write_custom(definition, custom, user=user, is_new=True)
