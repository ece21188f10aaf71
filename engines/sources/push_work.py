"""The work of pushing an image that was made here; its entry then names the pushed one."""

from __future__ import annotations

from catalog.custom import move_image
from catalog.models import Variant
from engines.following import follow
from engines.sources.notes import note
from hosts.models import Host
from hosts.oci.reference import ImageReference
from hosts.runners.base import EngineRunner, ImageNotFound
from hosts.runners.docker.push import PUSH_STEPS
from jobs.work import JobRun


def push_image(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Push, and let the catalog's entry name the image in the registry."""
    params = run.job.params
    variant = Variant.objects.select_related("entry").filter(pk=params["variant"]).first()
    if variant is None:
        raise ImageNotFound("Its entry was deleted from the catalog. Build or load it again.")
    target = ImageReference.parse(params["to"])
    told = runner.workshop().push(params["image"], target, cancel=run.token)
    pushed = follow(run, PUSH_STEPS, told)
    moved = move_image(variant, image=str(target).rpartition(":")[0], tag=target.tag)
    note(run.job, entry=moved.entry_id, digest=pushed.digest)
    run.line(f"{variant.entry} is pulled from {target} from now on.")
