"""Adopting and removing containers that belong to no engine."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.secrets import encrypted
from catalog.models import EngineType, Variant
from engines.attach import definition_of_info
from engines.client import EngineClient
from engines.environment import wanted_by
from engines.image_checks import note_image
from engines.links.way import way_by
from engines.models import Engine
from engines.observe import engine_seen
from engines.services import definition_of
from engines.spec import spec_of
from engines.strays import forget_stray
from hosts.deployment import deployment_id
from hosts.models import Host
from hosts.oci.reference import BadReference, ImageReference
from hosts.runners.base import EngineFailed, EngineRunner, RunnerError
from hosts.runners.container import ImageState
from hosts.runners.storage import FoundContainer, NotThere
from jobs.events import announce
from jobs.work import JobRun

GRACE_SECONDS = 10.0
INFO_SECONDS = 5.0
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


class NotAdopted(RunnerError):
    """Nothing could be learned of a container that would make an engine of it."""

    code = "NOT_ADOPTED"


def remove(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Remove exactly the container that was asked for, if it is still ours and no engine's."""
    container = run.job.params["container"]
    run.step("remove", "Stop and remove it")
    storage = runner.storage(deployment_id())
    try:
        found = storage.find_container(container)
        _require_stray(host, found)
        freed = storage.remove_container(container, grace=GRACE_SECONDS)
    except NotThere:
        forget_stray(host, container)
        raise
    run.line(f"{found.name} was removed; that freed {freed / 1e6:.1f} MB. Its image stays.")
    forget_stray(host, container)


def _require_stray(host: Host, found: FoundContainer) -> None:
    engine = Engine.objects.filter(host=host, name=found.engine).first()
    if engine is not None and engine.state != Engine.State.ABSENT:
        raise NotAdopted(f"{found.name} is the container of {engine}. Uninstall that engine.")


def adopt(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Make the row of an engine from its container; what runs goes on running."""
    container = run.job.params["container"]
    run.step("look", "Look what it is")
    try:
        found = runner.storage(deployment_id()).find_container(container)
    except NotThere:
        forget_stray(host, container)
        raise
    _require_stray(host, found)
    if not NAME.match(found.engine):
        raise NotAdopted(f"{found.name} is labelled “{found.engine[:64]}”, which is no name.")
    variant = _variant_of(found)
    if variant is not None:
        run.line(f"It is {variant} of the catalog “{variant.entry.source}”.")
        values = _by_catalog(variant)
    else:
        run.line("No catalog has its image; the engine itself is asked.")
        values = _by_itself(host, found)
    run.step("adopt", "Make it an engine")
    engine = _written(host, found, values)
    note_image(engine, ImageState(found.image_id, found.repo_digests, found.platform))
    spec = spec_of(engine)
    Engine.objects.filter(pk=engine.pk).update(disk_bytes=runner.size(spec))
    engine_seen(engine, runner.status(spec))
    forget_stray(host, container)
    run.line(f"{engine} is an engine of {host} again.")


def _variant_of(found: FoundContainer) -> Variant | None:
    """The catalog's variant with this image; of several the one that is named like the engine."""
    names = {full for name in found.image_names if (full := _canonical(name))}
    offered = Variant.objects.exclude(image="").select_related("entry__source")
    rows = [
        variant
        for variant in offered.filter(entry__source__is_enabled=True)
        if _canonical(f"{variant.image}:{variant.tag}") in names
    ]
    rows.sort(key=lambda row: (row.entry.name != found.engine, row.is_withdrawn, row.pk))
    return rows[0] if rows else None


def _canonical(name: str) -> str:
    try:
        return ImageReference.parse(name).canonical
    except BadReference:
        return ""


def _by_catalog(variant: Variant) -> dict[str, Any]:
    entry = variant.entry
    return {
        "variant": variant,
        "display_name": entry.display_name,
        "engine_type": entry.engine_type,
        "definition": definition_of(entry),
        "content_hash": entry.content_hash,
        "version": entry.version,
        "image": variant.image,
        "tag": variant.tag,
    }


def _by_itself(host: Host, found: FoundContainer) -> dict[str, Any]:
    """What the running engine says in /info. Raises NotAdopted with the way out."""
    way = (
        f"add its image to the catalog, or start it (docker start {found.name}) and adopt it then; "
        "or remove it."
    )
    image = found.image_names[0] if found.image_names else found.image_id[:19]
    if not found.is_running or found.endpoint is None:
        raise NotAdopted(
            f"No catalog has the image {image}, and {found.name} does not run, so it cannot be "
            f"asked what it is: {way}"
        )
    try:
        with EngineClient(way_by(host, found.endpoint.url)) as client:
            info = client.info(timeout=INFO_SECONDS)
    except EngineFailed as error:
        raise NotAdopted(
            f"No catalog has the image {image}, and {found.name} does not say what it is: {way}",
            detail=error.message,
        ) from error
    kind = str(info.get("engineType", ""))
    if kind not in EngineType.values:
        raise NotAdopted(f"{found.name} says in /info that it is no engine abm knows: {way}")
    name, tag = _split(found)
    return {
        "variant": None,
        "display_name": str(info.get("displayName") or found.engine)[:100],
        "engine_type": kind,
        "definition": definition_of_info(info),
        "version": str((info.get("upstream") or {}).get("version") or "")[:100],
        "image": name,
        "tag": tag,
    }


def _split(found: FoundContainer) -> tuple[str, str]:
    """The image's name and tag, by which a later install or update would find it."""
    for name in found.image_names:
        with contextlib.suppress(BadReference):
            reference = ImageReference.parse(name)
            if reference.tag and not reference.digest:
                return str(reference).removesuffix(f":{reference.tag}"), reference.tag
    raise NotAdopted(
        f"The image of {found.name} has no name any more. Give it one (docker tag "
        f"{found.image_id[7:19]} some/name:tag) and adopt it then, or remove the container."
    )


def _written(host: Host, found: FoundContainer, values: Mapping[str, Any]) -> Engine:
    """The row; one that was kept for its settings is taken up, and its settings win."""
    now = timezone.now()
    made = {
        **values,
        "state": Engine.State.STOPPED,
        "state_at": now,
        "installed_at": now,
        "image_id": found.image_id,
        "port": found.endpoint.port if found.endpoint else None,
        "uses_gpu": bool(found.gpus),
        "gpus": [] if found.gpus == ("all",) else list(found.gpus),
    }
    try:
        with transaction.atomic():
            engine, is_new = Engine.objects.update_or_create(
                host=host, name=found.engine, defaults=made
            )
            if is_new:
                _take_settings(engine, found)
            text = f"{engine} was adopted on {host}"
            announce("engines", "engine.changed", text=text, pk=engine.pk)
    except IntegrityError as error:
        raise NotAdopted(f"{found.name} is being adopted by somebody else.") from error
    return engine


def _take_settings(engine: Engine, found: FoundContainer) -> None:
    """What had been set on the engine before, as far as its container tells."""
    spec = spec_of(engine)
    own = {str(spec.samples_dir), str(spec.models_dir / spec.name) if spec.models_dir else ""}
    own |= {mount.source for mount in spec.container.mounts} if spec.container else set()
    secret = {name for name, wanted in wanted_by(engine).items() if wanted.is_secret}
    for name, value in found.environment.items():
        if name in secret:
            engine.secrets[name] = encrypted(value)
        else:
            engine.environment[name] = value
    engine.mounts = [asdict(mount) for mount in found.mounts if mount.source not in own]
    engine.ports = [asdict(port) for port in found.ports]
    engine.limits = dict(found.limits)
    engine.save(update_fields=["secrets", "environment", "mounts", "ports", "limits", "updated_at"])
