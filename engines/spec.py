"""An Engine row as the values a runner may know."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from django.conf import settings

from engines.environment import variables_of
from engines.model_places import models_volume, samples_place
from engines.models import Engine
from engines.vram import maker_of
from hosts.deployment import deployment_id
from hosts.gpu.handing import ALL, Handed, cdi_names, node_groups
from hosts.gpu.values import Vendor
from hosts.models import Host
from hosts.runners.base import EngineSpec
from hosts.runners.container import ContainerSpec, Mount, PortBinding
from hosts.runners.docker.own_container import outside_of
from hosts.ssh.key_line import ENGINE_PORTS

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8766
"""Where engines of the seed's images listen inside."""


def spec_to_start(engine: Engine) -> EngineSpec:
    """The spec with the engine's variables, secrets in plain. Raises SecretLost."""
    return replace(spec_of(engine), environment=_environment(engine))


def spec_of(engine: Engine) -> EngineSpec:
    """The frozen spec of `engine`; reads the ports that its neighbours hold.

    Without its variables: a secret that cannot be read any more must not keep it from being
    watched or stopped.
    """
    definition: dict[str, Any] = engine.definition
    installation = definition.get("installation") or {}
    extras = definition.get("abm") or {}
    folder = definition.get("folder") or ""
    source = Path(folder) if folder else None
    venv = installation.get("venv_path")
    others = Engine.objects.filter(host_id=engine.host_id, port__isnull=False)
    taken = others.exclude(pk=engine.pk).exclude(state=Engine.State.ABSENT)
    return EngineSpec(
        name=engine.name,
        source_dir=source,
        is_in_place=bool(definition.get("is_in_place")),
        venv_path=_below(source, venv) if venv and source else None,
        python_version=installation.get("python_version") or extras.get("python") or "",
        ports=_ports(engine),
        preferred_port=engine.port,
        taken_ports=frozenset(port for port in taken.values_list("port", flat=True) if port),
        samples_dir=_place(engine.host, engine.host.samples_folder),
        models_dir=_place(engine.host, engine.host.models_folder),
        cards=None if engine.host.is_docker else _cards(engine),
        container=_container(engine) if engine.host.is_docker else None,
    )


def _ports(engine: Engine) -> range:
    """On a remote host those that abm's key may reach there."""
    if engine.host.is_remote:
        return ENGINE_PORTS
    return range(settings.ENGINE_PORT_START, settings.ENGINE_PORT_MAX + 1)


def _mounts(engine: Engine) -> tuple[Mount, ...]:
    """The user's; on another machine without folders, volumes for samples and its own models."""
    chosen = tuple(Mount(**row) for row in engine.mounts)
    taken = {mount.target.rstrip("/") for mount in chosen}
    volumes = [models_volume(engine)]
    if not engine.host.samples_folder:
        volumes.append(samples_place(engine.host))
    return (*chosen, *(one for one in volumes if one is not None and one.target not in taken))


def _place(host: Host, folder: str) -> Path | None:
    """A folder as the host knows it: abm may see this machine's under another name."""
    if not folder:
        return None  # a volume
    is_seen = host.host_type == Host.Type.DOCKER_LOCAL and host.has_our_folders
    return outside_of(Path(folder)) if is_seen else Path(folder)


def _environment(engine: Engine) -> dict[str, str]:
    """What the engine's own variables are: by the consent that was given, then by the user."""
    agreed = (engine.definition.get("abm") or {}).get("consent_environment") or {}
    given = agreed if engine.consented_at else {}
    agreed_to = {str(key): str(value) for key, value in given.items()}
    return {**agreed_to, **variables_of(engine)}


def _container(engine: Engine) -> ContainerSpec:
    """What is said of an engine that runs in a container: the catalog's word, then the user's."""
    extras = engine.definition.get("abm") or {}
    limits = engine.limits
    return ContainerSpec(
        image=f"{engine.image}:{engine.tag}",
        image_id=engine.image_id,
        deployment=deployment_id(),
        platform=engine.platform,
        engine_port=int(extras.get("port") or DEFAULT_PORT),
        engine_port_address=_published_on(engine.host),
        network="" if engine.host.is_remote else settings.ENGINE_NETWORK,
        ports=tuple(PortBinding(**row) for row in engine.ports),
        mounts=_mounts(engine),
        cards=_cards(engine),
        cpus=limits.get("cpus"),
        memory_bytes=limits.get("memory_bytes"),
        shm_bytes=limits.get("shm_bytes") or _megabytes(extras.get("shm_mb")),
        user=limits.get("user", ""),
        entrypoint=_listed(limits.get("entrypoint")),
        command=_listed(limits.get("command")),
        extra_hosts=limits.get("extra_hosts", {}),
        restart_policy=limits.get("restart_policy", "no"),
    )


def _published_on(host: Host) -> str:
    """Of another machine by TCP the address that DOCKER_ENGINE_HOST names; else its loopback."""
    if host.is_remote or host.has_our_folders or settings.DOCKER_ENGINE_HOST == "localhost":
        return LOOPBACK
    try:
        return str(ip_address(settings.DOCKER_ENGINE_HOST))
    except ValueError:
        return "0.0.0.0"  # a name, which Docker cannot publish on


def _cards(engine: Engine) -> Handed:
    if not engine.uses_gpu:
        return Handed()
    host = engine.host
    maker = maker_of(host, engine.gpus)
    known = {card.uuid: card.choice_name for card in host.gpus.all()}
    # Parts of a card have no row; what is gone is told by Docker, or before the start.
    names = tuple(known.get(uuid) or uuid.removeprefix("index-") for uuid in engine.gpus) or ALL
    if not host.is_docker:
        return Handed(names, maker)
    is_here = bool(host.facts.get("is_on_this_machine"))
    groups = node_groups() if is_here and maker is not Vendor.NVIDIA else ()
    return Handed(names, maker, cdi_names(host.facts, maker, names), groups)


def _megabytes(size: float | None) -> int | None:
    return int(size * 1_000_000) if size else None


def _listed(words: list[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)


def _below(source: Path, venv: str) -> Path:
    """engine.yaml writes `venv_path` from the engine's own folder; an absolute one stays."""
    path = Path(venv).expanduser()
    return path if path.is_absolute() else source / path
