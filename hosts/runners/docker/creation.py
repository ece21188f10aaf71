"""What the daemon is told of a new container: the body of `POST /containers/create`.

Source: https://docs.docker.com/reference/api/engine/version/v1.40/#tag/Container/operation/ContainerCreate
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hosts.runners.base import EngineSpec, StartFailed
from hosts.runners.container import ContainerSpec, Mount, PortBinding
from hosts.runners.docker.images import name_to_run
from hosts.runners.docker.labels import container_of, digest_of, labels_of, volume_labels_of

SAMPLES_INSIDE = "/app/samples"
MODELS_INSIDE = "/app/external_models"
"""Where images made for Audiobook Maker look for them."""
LOG_LIMITS = {"max-size": "10m", "max-file": "3"}
STOP_SECONDS = 10
"""For those who stop it without saying how long: the daemon itself, when it is shut down."""


def settings_of(spec: EngineSpec) -> dict[str, Any]:
    """The body without labels, image and the engine's port on the host: what a user can set."""
    container = container_of(spec)
    settings: dict[str, Any] = {
        "Env": [f"{name}={value}" for name, value in environment_of(spec).items()],
        "ExposedPorts": {key: {} for key in _exposed(container)},
        "StopTimeout": STOP_SECONDS,
        "HostConfig": _host_config(spec, container),
    }
    if container.user:
        settings["User"] = container.user
    if container.entrypoint is not None:
        # An empty list takes the image's entrypoint away; none at all would keep it.
        settings["Entrypoint"] = list(container.entrypoint)
    if container.command is not None:
        settings["Cmd"] = list(container.command)
    return settings


def settings_digest(spec: EngineSpec) -> str:
    """Tells whether a container was made from this spec, wherever its port is on the host."""
    container = container_of(spec)
    chosen = {
        "address": container.engine_port_address,
        "port": container.engine_port,
        "platform": container.platform,
        "image": container.image_id or container.image,
    }
    return digest_of({"body": settings_of(spec), "chosen": chosen})


def body_of(
    spec: EngineSpec, *, image: Mapping[str, Any], port: int | None, version: str
) -> dict[str, Any]:
    """The whole body; `port` is the engine's on the host, None where it is reached by a network."""
    container = container_of(spec)
    body = settings_of(spec)
    body["Image"] = name_to_run(spec, image)
    body["Labels"] = labels_of(
        spec, settings=settings_digest(spec), image=str(image["Id"]), version=version
    )
    if port is not None:
        inside = f"{container.engine_port}/tcp"
        bound = {"HostIp": container.engine_port_address, "HostPort": str(port)}
        body["HostConfig"]["PortBindings"].setdefault(inside, []).insert(0, bound)
    return body


def environment_of(spec: EngineSpec) -> dict[str, str]:
    """What the user set wins over what abm proposes; where to listen is abm's to say."""
    container = container_of(spec)
    # In small letters: some images hand it on to programs that know no others.
    proposed = {"LOG_LEVEL": "info", "PYTHONUNBUFFERED": "1"}
    proposed |= container.cards.container_variables()
    return {**proposed, **spec.environment, "PORT": str(container.engine_port)}


def mounts_of(spec: EngineSpec) -> tuple[Mount, ...]:
    """The user's volumes, and samples and models where none of the user's stands in their place."""
    container = container_of(spec)
    taken = {mount.target.rstrip("/") for mount in container.mounts}
    ours = []
    if spec.samples_dir is not None and SAMPLES_INSIDE not in taken:
        ours.append(Mount(str(spec.samples_dir), SAMPLES_INSIDE))
    if spec.models_dir is not None and MODELS_INSIDE not in taken:
        ours.append(Mount(str(spec.models_dir / spec.name), MODELS_INSIDE))
    return (*ours, *container.mounts)


def make_folders(
    spec: EngineSpec, *, user: str, seen: Callable[[Path], Path | None] = Path
) -> None:
    """Make the folders that are to be mounted and are missing; for a daemon of this machine.

    `user` is whom the image runs as, `seen` where abm sees a folder, or None where it does not.
    A folder that was there keeps its owner and its rights. Raises StartFailed.
    """
    for mount in mounts_of(spec):
        folder = seen(Path(mount.source)) if mount.is_folder else None
        if folder is None or folder.exists():
            continue
        try:
            folder.mkdir(parents=True)
            _give(folder, user)
        except OSError as error:
            raise StartFailed(
                f"The folder {folder}, which {spec.name} is to have as {mount.target}, could "
                f"not be made: {error.strerror}. Make it by hand or choose another.",
                detail=str(error),
            ) from error


def _give(folder: Path, user: str) -> None:
    """Let the engine write there. A name of a user means nothing outside of its image."""
    owner, _, group = user.partition(":")
    if owner in {"", "root", "0"}:
        return
    if owner.isdigit():
        with contextlib.suppress(PermissionError):
            os.chown(folder, int(owner), int(group) if group.isdigit() else -1)
            return
    folder.chmod(0o777)


def _host_config(spec: EngineSpec, container: ContainerSpec) -> dict[str, Any]:
    name, _, count = container.restart_policy.partition(":")
    config: dict[str, Any] = {
        "Init": True,
        "LogConfig": {"Type": "json-file", "Config": LOG_LIMITS},
        "Mounts": [_mount(mount, spec) for mount in mounts_of(spec)],
        "PortBindings": _bindings(container.ports),
        "RestartPolicy": {"Name": name, "MaximumRetryCount": int(count) if count else 0},
    }
    if container.cpus:
        config["NanoCpus"] = round(container.cpus * 1_000_000_000)
    if container.memory_bytes:
        # Without the second, Docker lets it have as much again of swap.
        config["Memory"] = config["MemorySwap"] = container.memory_bytes
    if container.shm_bytes:
        config["ShmSize"] = container.shm_bytes
    if container.extra_hosts:
        config["ExtraHosts"] = [f"{name}:{to}" for name, to in container.extra_hosts.items()]
    if container.network:
        config["NetworkMode"] = container.network
    return {**config, **container.cards.host_config()}


def _mount(mount: Mount, spec: EngineSpec) -> dict[str, Any]:
    """A volume that Docker has to make for it bears our labels; one that is there keeps its own."""
    place: dict[str, Any] = {
        "Type": "bind" if mount.is_folder else "volume",
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.is_read_only,
    }
    if mount.is_folder:
        return place
    return {**place, "VolumeOptions": {"Labels": volume_labels_of(spec)}}


def _bindings(ports: tuple[PortBinding, ...]) -> dict[str, list[Mapping[str, str]]]:
    """The user's table of ports; one without a port on the host gets any from the daemon."""
    bound: dict[str, list[Mapping[str, str]]] = {}
    for port in ports:
        on_host = {"HostIp": port.host_address, "HostPort": str(port.host_port or "")}
        bound.setdefault(_key(port), []).append(on_host)
    return bound


def _exposed(container: ContainerSpec) -> Iterator[str]:
    yield f"{container.engine_port}/tcp"
    yield from map(_key, container.ports)


def _key(port: PortBinding) -> str:
    return f"{port.container_port}/{port.protocol}"
