"""Where the models of a host's engines lie, and which engines see the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from django.conf import settings

from engines.models import Engine
from hosts.deployment import deployment_id
from hosts.models import Host
from hosts.runners.container import Mount
from hosts.runners.docker.creation import MODELS_INSIDE, SAMPLES_INSIDE

LOCAL = (Host.Type.SUBPROCESS, Host.Type.DOCKER_LOCAL)
"""Hosts that have the same folders, as they are on the same machine."""


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """A folder or volume with models, and the engines that see it."""

    mount: Mount
    engines: tuple[Engine, ...]
    is_root: bool = False
    """The folder above those of a Docker host's engines: what else lies there is left over."""


def models_root(host: Host) -> str:
    """The host's folder of models; abm's own where it has volumes."""
    return host.models_folder or str(settings.DATA_DIR / "models")


def models_volume(engine: Engine) -> Mount | None:
    """On a host without a folder for models, the volume that an engine has for its own."""
    if engine.host.models_folder:
        return None
    return Mount(f"abm-{deployment_id()[:8]}-{engine.name}-models", MODELS_INSIDE)


def samples_place(host: Host) -> Mount:
    """Where speaker samples lie on a host: its folder, or a volume for all engines."""
    folder = host.samples_folder
    return Mount(folder or f"abm-{deployment_id()[:8]}-samples", SAMPLES_INSIDE)


def places_of(host: Host) -> list[ModelPlace]:
    """Every place on `host`, each once, with all engines that see it."""
    root = Mount(models_root(host), MODELS_INSIDE)
    engines = list(_engines(Engine.objects.filter(host=host)))
    if not host.is_docker:
        return [ModelPlace(root, tuple(engines))] if engines else []
    found: dict[str, list[Engine]] = {}
    mounts: dict[str, Mount] = {}
    for engine in engines:
        for mount in _models_of(engine):
            mounts.setdefault(mount.source, mount)
            found.setdefault(mount.source, []).append(engine)
    places = [ModelPlace(mounts[source], tuple(users)) for source, users in found.items()]
    if not host.models_folder:
        return places
    return [*places, ModelPlace(root, (), is_root=True)]


def own_folder(engine: Engine) -> Mount | None:
    """The folder of models that an engine in a container has to itself by default."""
    if not engine.host.is_docker:
        return None
    own = f"{models_root(engine.host)}/{engine.name}"
    return next((mount for mount in _models_of(engine) if mount.source == own), None)


def named_volumes(engine: Engine) -> list[str]:
    """Volumes of the daemon that the engine was given by name."""
    return [str(row["source"]) for row in engine.mounts if not Mount(**row).is_folder]


def volume_users(host: Host, name: str, *, but: Engine | None = None) -> list[Engine]:
    """The engines of a host that were given a volume, also those whose settings are kept."""
    engines = Engine.objects.filter(host=host)
    return [one for one in engines if one != but and name in named_volumes(one)]


def users_of(host: Host, mount: Mount, path: str = "") -> list[Engine]:
    """The engines that see what is at `path` below a place, on any host with the same folders."""
    if not mount.is_folder:
        return [
            engine
            for engine in _engines(Engine.objects.filter(host=host))
            if any(one.source == mount.source for one in _models_of(engine))
        ]
    local = [one for one in Host.objects.filter(host_type__in=LOCAL) if one.has_our_folders]
    hosts = local if host in local else [host]
    places = [place for one in hosts for place in places_of(one) if place.mount.is_folder]
    target = PurePath(mount.source, path)
    is_owned = any(
        target.is_relative_to(place.mount.source)
        for place in places
        if not place.is_root and _is_of_containers(place)
    )
    return [
        engine
        for place in places
        if _sees(place, target, is_owned=is_owned)
        for engine in place.engines
    ]


def _is_of_containers(place: ModelPlace) -> bool:
    return any(engine.host.is_docker for engine in place.engines)


def _sees(place: ModelPlace, target: PurePath, *, is_owned: bool) -> bool:
    """Processes could see every folder below theirs, but leave those of containers alone."""
    source = PurePath(place.mount.source)
    if source.is_relative_to(target):
        return True
    return target.is_relative_to(source) and (_is_of_containers(place) or not is_owned)


def _engines(engines: Iterable[Engine]) -> Iterator[Engine]:
    """Those that there are: attached ones keep their models elsewhere."""
    for engine in engines:
        if engine.state != Engine.State.ABSENT and not engine.attached_url:
            yield engine


def _models_of(engine: Engine) -> Iterator[Mount]:
    """Its folder of models, and the volumes it was given by name."""
    mounts = [Mount(**row) for row in engine.mounts]
    targets = {mount.target.rstrip("/") for mount in mounts}
    volume = models_volume(engine)
    if MODELS_INSIDE not in targets and volume is not None:
        yield volume
    elif MODELS_INSIDE not in targets:
        yield Mount(f"{models_root(engine.host)}/{engine.name}", MODELS_INSIDE)
    for mount in mounts:
        is_samples = mount.target.rstrip("/") == SAMPLES_INSIDE
        if mount.target.rstrip("/") == MODELS_INSIDE or not (mount.is_folder or is_samples):
            yield mount
