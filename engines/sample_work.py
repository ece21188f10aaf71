"""Bringing speaker samples to hosts, making folders there, and reading what is in them."""

from __future__ import annotations

from typing import Any

from engines.model_places import samples_place
from engines.models import Engine, Sample
from engines.samples import KINDS, folder_of, needs_samples
from hosts.deployment import deployment_id
from hosts.models import Host
from hosts.runners.base import EngineRunner, RunnerError
from hosts.runners.storage import HostStorage
from jobs.events import announce
from jobs.work import JobRun


def bring(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Make a host's samples those of abm; files that abm did not bring are left alone."""
    run.step("bring", "Bring samples")
    bring_to(run, runner, host)
    run.step("read", "Read the folder again")
    read_folders(host, runner.storage(deployment_id()))


def bring_for(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """Before a start: its host has all samples. A failure is told and keeps no engine from it."""
    host = engine.host
    if not needs_samples(host):
        return
    if not host.brought_samples and not Sample.objects.exists():
        if not samples_place(host).is_folder:
            # Made with the container it would be that engine's, though all share it.
            runner.storage(deployment_id()).make_place(samples_place(host))
        return
    try:
        bring_to(run, runner, host, image=engine.image_id)
    except RunnerError as error:
        run.line(f"Its speaker samples could not be brought: {error.message}")


def bring_to(run: JobRun, runner: EngineRunner, host: Host, *, image: str = "") -> None:
    """The difference, file by file. Raises RunnerError."""
    storage, place = runner.storage(deployment_id()), samples_place(host)
    image = image or image_on(host)
    if not place.is_folder:
        storage.make_place(place)
    there = {file.path: file for file in storage.files(place, image=image).files}
    wanted = {sample.file: sample for sample in Sample.objects.all()}
    gone = [name for name in host.brought_samples if name not in wanted and name in there]
    for name in gone:
        storage.delete_files(place, name, image=image)
        run.line(f"{name} was deleted here, so it was deleted there.")
    for name, sample in wanted.items():
        run.check()
        found = there.get(name)
        if found is None or found.size != sample.size:
            storage.put_file(place, name, sample.path, image=image)
            run.line(f"{sample} was brought ({sample.size / 1e6:.1f} MB).")
    host.brought_samples = sorted(wanted)
    host.save(update_fields=["brought_samples", "updated_at"])


def make_folder(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Make the folder that the job names, and look whether it is there."""
    kind = str(run.job.params["kind"])
    place = folder_of(host, kind)
    if place is None:
        raise RunnerError(f"{host} has no folder of {kind} any more.")
    storage = runner.storage(deployment_id())
    run.step("make", f"Make {place.source}")
    storage.make_place(place, image=image_on(host))
    run.step("read", "Look whether it is there")
    read_folders(host, storage)
    if not host.folders[kind]["is_there"]:
        raise RunnerError(
            f"{host} took the wish and has no {place.source} all the same. Make it by hand.",
            detail=host.folders[kind]["error"],
        )
    run.line(f"{place.source} is there.")


def read_folders(host: Host, storage: HostStorage) -> None:
    """Write down which of a host's folders are there, and what is in them."""
    found = {kind: _folder(host, kind, storage) for kind in KINDS}
    host.folders = {kind: row for kind, row in found.items() if row}
    Host.objects.filter(pk=host.pk).update(folders=host.folders)
    announce("hosts", "disk.changed", pk=host.pk)


def _folder(host: Host, kind: str, storage: HostStorage) -> dict[str, Any]:
    place = folder_of(host, kind)
    if place is None:
        return {}
    row: dict[str, Any] = {
        "source": place.source,
        "is_folder": place.is_folder,
        "is_there": None,
        "is_abms_own": kind == "samples" and not needs_samples(host),
        "size": None,
        "is_whole": True,
        "names": [],
        "error": "",
    }
    try:
        files = storage.files(place, image=image_on(host))
    except RunnerError as error:
        return {**row, "error": error.message}
    names = sorted({file.path for file in files.files}) if kind == "samples" else []
    found = {"is_there": files.is_there, "size": files.size, "is_whole": files.is_whole}
    return {**row, **found, "names": names}


def image_on(host: Host) -> str:
    """An image that is on the host, to look with where abm itself cannot."""
    there = Engine.objects.filter(host=host).exclude(image_id="")
    return there.values_list("image_id", flat=True).first() or ""
