"""Hosts and engines as they are, written down as wishes."""

from __future__ import annotations

from django.conf import settings

from abm.fleet.shapes import ContainerWish, EngineWish, Fleet, GpuWish, HostWish
from accounts.audit import SECRET
from engines.models import Engine
from hosts.models import Host


def fleet_now() -> Fleet:
    """All hosts, and the engines that are installed."""
    rows = Engine.objects.filter(state__in=Engine.INSTALLED, attached_url="")
    engines = rows.select_related("host", "variant__entry__source")
    ordered = engines.order_by("host__host_id", "name")
    return Fleet(
        abm=1,
        hosts={host.host_id: host_wish(host) for host in Host.objects.order_by("host_id")},
        engines=[engine_wish(engine) for engine in ordered],
    )


def host_wish(host: Host) -> HostWish:
    return HostWish(
        name=host.display_name,
        address=host.ssh_url or None,
        enabled=host.is_enabled,
        samples=_folder(host.samples_path, "samples"),
        models=_folder(host.models_path, "models"),
    )


def _folder(path: str, name: str) -> str:
    """Empty for abm's own folder, which lies elsewhere on another machine."""
    return "" if path == str(settings.DATA_DIR / name) else path


def engine_wish(engine: Engine) -> EngineWish:
    return EngineWish(
        host=engine.host.host_id,
        name=engine.name,
        source=engine.variant.entry.source.name if engine.variant else "",
        tag=engine.tag,
        platform=engine.platform,
        enabled=engine.is_enabled,
        keep_running=engine.keep_running,
        default=engine.is_default,
        auto_updates=engine.auto_updates,
        idle_minutes="default" if engine.idle_minutes is None else engine.idle_minutes,
        language=engine.default_language,
        parameters=engine.parameters,
        environment=plain_variables(engine),
        secrets=secret_names(engine),
        gpus=gpu_wish(engine),
        container=container_wish(engine) if engine.host.is_docker else None,
    )


def plain_variables(engine: Engine) -> dict[str, str]:
    """Those whose names do not sound like a secret; who set one unhidden may not have thought."""
    return {
        str(name): str(value)
        for name, value in sorted(engine.environment.items())
        if not SECRET.search(str(name))
    }


def secret_names(engine: Engine) -> list[str]:
    """Variables that are set and whose values are not told."""
    return sorted({*engine.secrets, *engine.environment} - plain_variables(engine).keys())


def gpu_wish(engine: Engine) -> GpuWish:
    cards: list[str] = sorted(engine.gpus)
    return GpuWish(
        cards=(cards or "all") if engine.uses_gpu else "none", forbids_cpu=engine.forbids_cpu
    )


def container_wish(engine: Engine) -> ContainerWish:
    return ContainerWish(ports=engine.ports, mounts=engine.mounts, limits=engine.limits)
