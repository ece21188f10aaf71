"""A container of ours read back: what its engine's row would have to say to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hosts.gpu.handing import ALL
from hosts.runners.container import Mount, PortBinding
from hosts.runners.docker.containers import is_running
from hosts.runners.docker.images import is_made_here, platform_of
from hosts.runners.docker.labels import ENGINE, labels_on
from hosts.runners.docker.ports import endpoint_of, inner_port_of
from hosts.runners.storage import FoundContainer

SET_BY_ABM = frozenset(
    {"PORT", "LOG_LEVEL", "PYTHONUNBUFFERED", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"}
)
USUAL_SHM = 64 * 1024 * 1024
"""What Docker gives a container that asks for none."""


def read_container(
    found: Mapping[str, Any], image: Mapping[str, Any], *, engine_host: str
) -> FoundContainer:
    """From an inspected container and its inspected image, which is empty where it is gone."""
    asked = str((found.get("Config") or {}).get("Image") or "")
    names = [asked, *map(str, image.get("RepoTags") or ())]
    return FoundContainer(
        id=str(found["Id"]),
        name=str(found.get("Name", "")).lstrip("/"),
        engine=labels_on(found).get(ENGINE, ""),
        is_running=is_running(found),
        endpoint=endpoint_of(found, engine_host=engine_host),
        image_id=str(found.get("Image") or ""),
        image_names=tuple(dict.fromkeys(name for name in names if _is_name(name))),
        repo_digests=() if is_made_here(image) else tuple(image["RepoDigests"]),
        platform=platform_of(image),
        environment=_environment(found, image),
        mounts=tuple(_mounts(found)),
        ports=tuple(_ports(found)),
        gpus=cards_in(found),
        limits=_limits(found, image),
    )


def _is_name(text: str) -> bool:
    return bool(text) and not text.startswith("sha256:") and not text.startswith("<none>")


def _environment(found: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, str]:
    own = set((image.get("Config") or {}).get("Env") or ())
    set_on_it = [line for line in found["Config"].get("Env") or () if line not in own]
    pairs = (line.partition("=") for line in set_on_it)
    return {name: value for name, _, value in pairs if name not in SET_BY_ABM}


def _mounts(found: Mapping[str, Any]) -> Iterator[Mount]:
    for row in found["HostConfig"].get("Mounts") or ():
        source = str(row.get("Source") or "")
        if source:
            yield Mount(source, str(row["Target"]), bool(row.get("ReadOnly")))


def _ports(found: Mapping[str, Any]) -> Iterator[PortBinding]:
    """All but the first of the engine's own port, which is where abm reaches it."""
    own = f"{inner_port_of(found)}/tcp"
    for inside, places in (found["HostConfig"].get("PortBindings") or {}).items():
        port, _, protocol = inside.partition("/")
        for place in (places or ())[1 if inside == own else 0 :]:
            on_host = str(place.get("HostPort") or "")
            yield PortBinding(
                int(port),
                int(on_host) if on_host.isdigit() else None,
                str(place.get("HostIp") or "0.0.0.0"),
                protocol or "tcp",
            )


def cards_in(found: Mapping[str, Any]) -> tuple[str, ...]:
    """The cards that it was given, as far as it says which."""
    for row in found["HostConfig"].get("DeviceRequests") or ():
        if any("gpu" in wanted for wanted in row.get("Capabilities") or ()):
            return tuple(row.get("DeviceIDs") or ()) or ALL
        if row.get("Driver") == "cdi":
            return _named(found, "CUDA_VISIBLE_DEVICES") or ALL
    nodes = {row.get("PathOnHost") for row in found["HostConfig"].get("Devices") or ()}
    return (_named(found, "ROCR_VISIBLE_DEVICES") or ALL) if "/dev/dri" in nodes else ()


def _named(found: Mapping[str, Any], variable: str) -> tuple[str, ...]:
    lines = (line.partition("=") for line in found["Config"].get("Env") or ())
    text = next((value for name, _, value in lines if name == variable), "")
    return tuple(text.split(",")) if text else ()


def _limits(found: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    config, host = found["Config"], found["HostConfig"]
    usual = image.get("Config") or {}
    policy = host.get("RestartPolicy") or {}
    name, count = str(policy.get("Name") or "no"), int(policy.get("MaximumRetryCount") or 0)
    shm = int(host.get("ShmSize") or 0)
    entrypoint, command = config.get("Entrypoint"), config.get("Cmd")
    values = {
        "cpus": int(host.get("NanoCpus") or 0) / 1e9 or None,
        "memory_bytes": int(host.get("Memory") or 0) or None,
        "shm_bytes": shm if shm not in (0, USUAL_SHM) else None,
        "user": config.get("User") if config.get("User") != usual.get("User") else None,
        "entrypoint": entrypoint or [] if entrypoint != usual.get("Entrypoint") else None,
        "command": command if command and command != usual.get("Cmd") else None,
        "extra_hosts": dict(line.partition(":")[::2] for line in host.get("ExtraHosts") or ()),
        "restart_policy": f"{name}:{count}" if count else name,
    }
    return {
        key: value
        for key, value in values.items()
        if value is not None and value not in ("", "no", {})
    }
