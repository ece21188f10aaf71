"""The work on files that hold images: load them into a host, and save an image to one."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from django.conf import settings

from engines.following import follow
from engines.sources.notes import note
from engines.sources.places import free_bytes, new_saved_file, saved_files, uploads
from engines.storage_work import remember_image
from hosts.models import Host
from hosts.oci.reference import ImageReference
from hosts.runners.base import DiskFull, EngineRunner, HostNotReady, InstallFailed
from hosts.runners.docker.archive_loading import LOAD_STEPS
from hosts.runners.docker.archive_saving import SAVE_STEPS
from jobs.work import JobRun

MEGABYTE = 1_000_000


def load_image(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Load the images of a file; an upload is deleted unless another try could do better."""
    path, is_upload = Path(run.job.params["path"]), bool(run.job.params["is_upload"])
    if not path.is_file():
        way = "Upload it again." if is_upload else "Put it back, or name another one."
        raise HostNotReady(f"The file {path.name} is gone. {way}")
    workshop = runner.workshop()
    most = settings.MAX_IMAGE_MB * MEGABYTE
    try:
        told = workshop.load(path, cancel=run.token, most_bytes=most)
        images = follow(run, LOAD_STEPS, told)
    except DiskFull:
        raise
    except InstallFailed:
        _forget(path, is_upload=is_upload)
        raise
    _forget(path, is_upload=is_upload)
    for image in images:
        if image.name:
            named = ImageReference.parse(image.name)
            remember_image(run.job.host_id, named.canonical, workshop.find(named))
    note(run.job, images=[asdict(image) for image in images])
    if not any(image.name for image in images):
        run.line("No image of it has a name, so it cannot be installed. Save it with its name.")


def save_image(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Write an image to a file that can be fetched for a day."""
    image = ImageReference.parse(run.job.params["image"])
    run.line(f"{free_bytes(saved_files()) / 1e9:.1f} GB are free where it is written.")
    path = new_saved_file(f"{image.repository.rpartition('/')[2]}-{image.tag}")
    saved = follow(run, SAVE_STEPS, runner.workshop().save(image, path, cancel=run.token))
    note(run.job, file=saved.path.name, size=saved.size)


def _forget(path: Path, *, is_upload: bool) -> None:
    """An upload has a folder of its own; a file of somebody's is left alone."""
    if is_upload and path.parent.parent == uploads():
        shutil.rmtree(path.parent, ignore_errors=True)
