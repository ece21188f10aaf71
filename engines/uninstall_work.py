"""The work of uninstalling: the engine, then what else was chosen, its image last."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django.db import transaction
from django.utils import timezone

from engines.bringup import mark_failed
from engines.model_places import own_folder
from engines.models import Engine
from engines.noting import named
from engines.spec import spec_of
from engines.state import change_state
from engines.uninstall import Removal, image_users, models_users
from engines.versions import NO_WAY_BACK
from hosts.deployment import deployment_id
from hosts.runners.base import EngineRunner, RunnerError
from hosts.runners.container import Mount
from hosts.runners.docker.disk import Reclaimable
from hosts.services import forget_disk
from jobs.events import announce
from jobs.models import Job
from jobs.work import JobRun

KEPT = "Uninstalled; its settings are kept for the next install."
AS_NEW: dict[str, Any] = {
    **NO_WAY_BACK,
    "url": "",
    "image_id": "",
    "image_digest": "",
    "image_found": {},
    "update_digest": "",
    "update_text": "",
    "skipped_digest": "",
    "is_default": False,
    "restart_at": None,
    "crash_count": 0,
    "disk_bytes": None,
    "installed_at": None,
    "tested_at": None,
    "test_passed": None,
    "test_text": "",
}
"""What settings that are kept do not remember."""


def uninstall(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """Delete what install made and what was chosen, then the row; its jobs stay as history."""
    removal = Removal.of_job(run.job.params)
    run.step("remove", "Stop it and delete its files")
    change_state(engine, Engine.State.UNINSTALLING)
    try:
        freed = _remove(run, runner, engine, removal)
    except RunnerError as error:
        mark_failed(engine, error)
        raise
    run.line(f"{freed / 1e6:.1f} MB came free in all.")
    text = f"{engine} was uninstalled from {engine.host}; {freed / 1e6:.0f} MB came free"
    _end_row(run.job, engine, text)
    forget_disk(engine.host)


def _remove(run: JobRun, runner: EngineRunner, engine: Engine, removal: Removal) -> int:
    """The container first, as it holds all else; the image last, as a helper may be made of it."""
    spec, is_docker = spec_of(engine), engine.host.is_docker
    freed = runner.remove(spec, keeps_image=is_docker)
    if removal.removes_models:
        freed += _delete_models(run, runner, engine)
    keeps_image = removal.keeps_image or _is_needed(run, engine)
    previous = () if keeps_image else tuple(filter(None, [engine.previous_image_id]))
    if is_docker and (removal.volumes or previous):
        freed += _reclaim(run, runner, Reclaimable(images=previous, volumes=removal.volumes))
    if is_docker and not keeps_image:
        run.step("image", "Remove its image")
        of_image = runner.remove(spec)
        run.line(f"The image: {of_image / 1e6:.1f} MB came free.")
        freed += of_image
    elif is_docker:
        run.line(f"Its image {engine.image}:{engine.tag} stays on {engine.host}.")
    return freed


def _is_needed(run: JobRun, engine: Engine) -> bool:
    users = image_users(engine) if engine.host.is_docker else []
    if users:
        run.line(f"Its image is needed by {', '.join(map(str, users))}.")
    return bool(users)


def _delete_models(run: JobRun, runner: EngineRunner, engine: Engine) -> int:
    folder = own_folder(engine)
    if folder is None:
        return 0
    run.step("models", "Delete its models")
    if users := models_users(engine):
        run.line(f"Its models stay: {', '.join(map(str, users))} may use them as well.")
        return 0
    storage = runner.storage(deployment_id())
    size = storage.files(folder, image=engine.image_id).size
    path = PurePath(folder.source)
    parent = Mount(str(path.parent), folder.target)
    storage.delete_files(parent, path.name, image=engine.image_id)
    run.line(f"{folder.source} was deleted; {size / 1e6:.1f} MB came free.")
    return size


def _reclaim(run: JobRun, runner: EngineRunner, chosen: Reclaimable) -> int:
    run.step("volumes", "Remove what else was chosen")
    storage = runner.storage(deployment_id())
    done = storage.reclaim(chosen, images=chosen.images)
    for name in done.removed:
        run.line(f"{name} was removed.")
    for kept in done.kept:
        run.line(f"Kept: {kept.reason}")
    return done.size


def finish_uninstall(job: Job, engine: Engine) -> None:
    """After a lost job that had removed everything: what it left to do is the row."""
    _end_row(job, engine, f"{engine} was uninstalled from {engine.host}")


def _end_row(job: Job, engine: Engine, text: str) -> None:
    pk, removal = engine.pk, Removal.of_job(job.params)
    with transaction.atomic():
        Job.objects.filter(pk=job.pk).update(engine=None)
        if removal.keeps_settings:
            engine.engine_models.all().delete()
            change_state(engine, Engine.State.ABSENT, text=KEPT, **AS_NEW)
            Engine.objects.filter(pk=pk).update(seen_at=timezone.now())
        else:
            Engine.objects.filter(pk=pk).delete()
        announce("engines", "engine.removed", text=text, **named(engine))
