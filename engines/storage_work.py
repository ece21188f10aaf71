"""Reading what takes a host's disk, giving it back, deleting models."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.refused import Refused
from engines.model_places import ModelPlace, named_volumes, own_folder, places_of
from engines.models import Engine
from engines.sample_work import read_folders
from engines.storage import image_needs, mount_of, require_unused, way_back_needs
from engines.storage_rows import disk_rows, engine_sizes, ids_of
from engines.versions import NO_WAY_BACK
from hosts.deployment import deployment_id
from hosts.models import Host, HostImage
from hosts.runners.base import EngineRunner, RunnerError
from hosts.runners.container import ImageState
from hosts.runners.docker.disk import DiskUse, Reclaimable
from hosts.runners.docker.stored_files import StoredFiles
from hosts.runners.storage import HostStorage
from hosts.work import runner_of
from jobs.events import announce
from jobs.models import Job
from jobs.work import JobRun

MOST_ENTRIES = 200


def remember_image(host_pk: int | None, name: str, image: ImageState | None) -> None:
    """An install or update brought it, so that abm may remove it when nobody needs it."""
    if host_pk is not None and image is not None:
        HostImage.objects.get_or_create(host_id=host_pk, image_id=image.id, name=name[:400])


def read_storage(host_pk: int) -> None:
    """Read a host's disk and models for its page; quiet if it is gone or switched off."""
    host = Host.objects.filter(pk=host_pk, is_enabled=True).first()
    if host is None:
        return
    try:
        with runner_of(host) as runner:
            read_into(host, runner)
    except RunnerError as error:
        _write(host, {**host.disk, "error": error.message}, host.model_places)


def read_into(host: Host, runner: EngineRunner) -> None:
    """The same with a runner that is open. Raises RunnerError."""
    storage = runner.storage(deployment_id())
    engines = list(_engines(host))
    disk: dict[str, Any] = {"engines": {}}
    if host.is_docker:
        use = storage.use(_images_of(host))
        disk = _disk(host, engines, use)
    places = [_place(storage, host, place, engines) for place in places_of(host)]
    sizes = {row["source"]: row["size"] for row in places if not row["error"]}
    for engine in engines:
        folder = own_folder(engine)
        row = disk["engines"].setdefault(str(engine.pk), {})
        row["models"] = sizes.get(folder.source) if folder else None
    read_folders(host, storage)
    shown = [row for row in places if row["engines"] or row["entries"]]
    _write(host, disk, shown)


def _engines(host: Host) -> list[Engine]:
    there = Engine.objects.filter(host=host, attached_url="").exclude(state=Engine.State.ABSENT)
    return list(there.select_related("host"))


def _images_of(host: Host) -> set[str]:
    """Ids and names of all that engines run, may go back to, or left behind."""
    rows = HostImage.objects.filter(host=host)
    left = {text for pair in rows.values_list("image_id", "name") for text in pair}
    names = {f"{engine.image}:{engine.tag}" for engine in _engines(host) if engine.image}
    return {*left, *names, *image_needs(host), *way_back_needs(host)}


def _disk(host: Host, engines: list[Engine], use: DiskUse) -> dict[str, Any]:
    current, way_back = image_needs(host), way_back_needs(host)
    kept = Engine.objects.filter(host=host)
    at_work = Job.objects.filter(host=host, action__in=Job.HEAVY, status__in=Job.OPEN)
    disk = disk_rows(
        use,
        engines=engines,
        current=current,
        way_back=way_back,
        volumes={name for engine in kept for name in named_volumes(engine)},
        may_pull=at_work.exists(),
    )
    needs = [*current.items(), *way_back.items()]
    disk["engines"] = {
        str(engine.pk): engine_sizes(
            engine,
            use,
            images=ids_of(use, {name for name, users in needs if set(users) == {engine}}),
            volumes=named_volumes(engine),
        )
        for engine in engines
    }
    there = {one.id for one in use.images}
    HostImage.objects.filter(host=host).exclude(image_id__in=there).delete()
    return disk


def _place(
    storage: HostStorage, host: Host, place: ModelPlace, engines: list[Engine]
) -> dict[str, Any]:
    """A place as its page shows it; one that cannot be read says why."""
    image = next((engine.image_id for engine in (*place.engines, *engines) if engine.image_id), "")
    row: dict[str, Any] = {
        "source": place.mount.source,
        "is_folder": place.mount.is_folder,
        "title": place.mount.source,
        "engines": [{"pk": engine.pk, "name": str(engine)} for engine in place.engines],
        "entries": [],
        "size": None,
        "is_whole": True,
        "error": "",
        "is_empty_after_load": False,
    }
    try:
        files = storage.files(place.mount, image=image)
    except RunnerError as error:
        return {**row, "error": error.message}
    entries = _entries(files)
    if place.is_root:
        names = {engine.name for engine in engines}
        entries = [entry for entry in entries if entry["path"] not in names]
    row["is_empty_after_load"] = not entries and any(
        engine.package_version for engine in place.engines if engine.host.is_docker
    )
    return {
        **row,
        "entries": entries[:MOST_ENTRIES],
        "size": sum(entry["size"] for entry in entries),
        "is_whole": files.is_whole and len(entries) <= MOST_ENTRIES,
    }


def _entries(files: StoredFiles) -> list[dict[str, Any]]:
    """By what lies at the top, the largest first, with the time of its newest file."""
    newest: dict[str, datetime] = {}
    for file in files.files:
        top = file.path.partition("/")[0]
        newest[top] = max(newest.get(top, file.changed_at), file.changed_at)
    return [
        {"path": name, "size": size, "changed_at": newest[name].isoformat()}
        for name, size in files.entries.items()
    ]


@transaction.atomic
def _write(host: Host, disk: dict[str, Any], places: list[dict[str, Any]]) -> None:
    now = timezone.now()
    Host.objects.filter(pk=host.pk).update(
        disk=disk, model_places=places, disk_at=now, disk_asked_at=None
    )
    announce("hosts", "disk.changed", pk=host.pk)


def reclaim(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Give back what was chosen, as far as nobody needs it by now."""
    run.step("look", "Look who needs it")
    chosen = _chosen(run, host)
    run.step("reclaim", "Give it back")
    storage = runner.storage(deployment_id())
    done = storage.reclaim(chosen, images=_images_of(host))
    for name in done.removed:
        run.line(f"{name} was removed.")
    for kept in done.kept:
        run.line(f"Kept: {kept.reason}")
    _forget_way_back(host, storage, chosen)
    run.line(f"{done.size / 1e6:.1f} MB came free.")
    text = f"{done.size / 1e6:.0f} MB of disk came free on {host}"
    announce("hosts", "disk.reclaimed", text=text, pk=host.pk)
    run.step("read", "Read the disk again")
    read_into(host, runner)


def _chosen(run: JobRun, host: Host) -> Reclaimable:
    """What was chosen without what engines came to need since."""
    words = [word.partition(":")[::2] for word in run.job.params["chosen"]]
    needed = set(image_needs(host))
    images = tuple(name for kind, name in words if kind == "image")
    for name in needed.intersection(images):
        run.line(f"Kept: an engine runs {name[:19]} by now.")
    given = {name for engine in Engine.objects.filter(host=host) for name in named_volumes(engine)}
    return Reclaimable(
        images=tuple(name for name in images if name not in needed),
        containers=tuple(name for kind, name in words if kind == "container"),
        volumes=tuple(name for kind, name in words if kind == "volume" and name not in given),
    )


def _forget_way_back(host: Host, storage: HostStorage, chosen: Reclaimable) -> None:
    """Engines whose previous image went cannot be rolled back any more."""
    going = set(chosen.images).intersection(way_back_needs(host))
    if not going:
        return
    left = {one.id for one in storage.use(going).images}
    for image in going - left:
        _update(Engine.objects.filter(host=host, previous_image_id=image))


def _update(engines: Iterable[Engine]) -> None:
    for engine in engines:
        Engine.objects.filter(pk=engine.pk).update(**NO_WAY_BACK)
        announce("engines", "engine.changed", pk=engine.pk)


def delete_models(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Delete models that no running engine sees."""
    source, path = run.job.params["source"], run.job.params["path"]
    run.step("look", "Look who uses them")
    mount = mount_of(host, source)
    if mount is None:
        raise RunnerError(f"{source} is no place of models on {host} any more.")
    try:
        require_unused(host, mount, path)
    except Refused as refusal:
        raise RunnerError(refusal.message) from refusal
    run.step("delete", f"Delete {path}")
    image = next((engine.image_id for engine in _engines(host) if engine.image_id), "")
    storage = runner.storage(deployment_id())
    before = storage.files(mount, image=image).entries.get(path, 0)
    storage.delete_files(mount, path, image=image)
    run.line(f"{path} was deleted; {before / 1e6:.1f} MB came free.")
    run.step("read", "Read the models again")
    read_into(host, runner)
