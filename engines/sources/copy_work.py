"""Copying an image from one host to another through abm, so that a site fetches it once."""

from __future__ import annotations

from django.conf import settings

from engines.following import follow
from engines.sources.places import free_bytes, new_saved_file, saved_files
from engines.sources.tar_work import MEGABYTE
from engines.storage_work import remember_image
from hosts.models import Host
from hosts.oci.reference import ImageReference
from hosts.runners.base import EngineRunner, HostNotReady
from hosts.runners.docker.archive_loading import LOAD_STEPS
from hosts.runners.docker.archive_saving import SAVE_STEPS
from hosts.work import runner_of
from jobs.work import JobRun


def copy_image(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Save it from the host that has it, load it into `host`; the file between them is deleted."""
    image = ImageReference.parse(run.job.params["image"])
    source = Host.objects.filter(pk=run.job.params["from"]).first()
    if source is None:
        raise HostNotReady("The host that has the image is no longer in abm. Choose another.")
    path = new_saved_file(f"{image.repository.rpartition('/')[2]}-{image.tag}")
    run.line(f"{free_bytes(saved_files()) / 1e9:.1f} GB are free where it passes through abm.")
    try:
        with runner_of(source) as there:
            told = there.workshop().save(image, path, cancel=run.token)
            saved = follow(run, SAVE_STEPS, told, ends=50)
        workshop, most = runner.workshop(), settings.MAX_IMAGE_MB * MEGABYTE
        loading = workshop.load(saved.path, cancel=run.token, most_bytes=most)
        follow(run, LOAD_STEPS, loading, begins=50)
    finally:
        path.unlink(missing_ok=True)
    remember_image(host.pk, image.canonical, workshop.find(image))
    run.line(f"{host} has {image} now; an install there takes it as it is.")
