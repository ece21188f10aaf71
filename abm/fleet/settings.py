"""Each setting of an engine that a fleet's file names: how it is now, and how to set it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from abm.fleet.export import engine_wish, plain_variables
from abm.fleet.shapes import ContainerWish, EngineWish, GpuWish
from accounts.refused import Refused
from engines import preferences
from engines.container_settings import set_container, set_idle
from engines.enabling import clear_default, set_engine_enabled
from engines.environment import read_environment, set_variables, wanted_by
from engines.forms import ports_shown
from engines.gpu_choice import set_gpus
from engines.limits import limits_shown
from engines.models import Engine
from engines.mounts import mounts_shown
from engines.services import set_default_engine, set_keep_running
from engines.updates import set_auto_updates
from hosts.runners.container import Mount, PortBinding


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that is not as it is wished."""

    name: str
    now: Any
    wished: Any


def differences(engine: Engine, wish: EngineWish) -> list[Difference]:
    """What the wish names and the engine does not have so, in the order in which to set it."""
    now = engine_wish(engine)
    found = []
    for name in SETTERS:
        wished, present = getattr(wish, name), getattr(now, name)
        if wished is not None and wished != present:
            found.append(Difference(name, _plain(present), _plain(wished)))
    return found


def apply(engine: Engine, wish: EngineWish, name: str) -> None:
    """Set one as it is wished. Raises Refused."""
    engine.refresh_from_db()
    SETTERS[name](engine, getattr(wish, name))


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, GpuWish | ContainerWish) else value


def _enabled(engine: Engine, value: bool) -> None:
    set_engine_enabled(engine, is_enabled=value, user=None)


def _keep_running(engine: Engine, value: bool) -> None:
    set_keep_running(engine, keeps=value, user=None)


def _default(engine: Engine, value: bool) -> None:
    if value:
        set_default_engine(engine, user=None)
    else:
        clear_default(engine.engine_type, user=None)


def _auto_updates(engine: Engine, value: bool) -> None:
    set_auto_updates(engine, is_on=value, user=None)


def _idle(engine: Engine, value: int | str) -> None:
    set_idle(engine, text="" if value == "default" else str(value), user=None)


def _language(engine: Engine, value: str) -> None:
    preferences.set_language(engine, language=value, user=None)


def _parameters(engine: Engine, value: Mapping[str, Any]) -> None:
    for name in set(engine.parameters) - set(value):
        engine = preferences.reset_parameter(engine, name=name, user=None)
    preferences.set_parameters(engine, values=value, user=None)


def _environment(engine: Engine, value: Mapping[str, str]) -> None:
    """Secrets that are set stay; plain ones that are not named go."""
    posted, wanted = QueryDict(mutable=True), wanted_by(engine)
    told = plain_variables(engine)
    hidden = {name: text for name, text in engine.environment.items() if name not in told}
    for name, text in {**hidden, **value}.items():
        if name in wanted:
            posted[f"variable-{name}"] = str(text)
            continue
        _row(posted, name, str(text), "plain")
    for name in engine.secrets:
        if name not in wanted:
            _row(posted, name, "", "secret")
    set_variables(engine, variables=read_environment(engine, posted), user=None)


def _row(posted: QueryDict, name: str, text: str, kind: str) -> None:
    posted.appendlist("env-name", name)
    posted.appendlist("env-value", text)
    posted.appendlist("env-kind", kind)


def _gpus(engine: Engine, value: GpuWish) -> None:
    posted = QueryDict(mutable=True)
    posted["gpu-mode"] = value.cards if isinstance(value.cards, str) else "chosen"
    posted.setlist("gpu", value.cards if isinstance(value.cards, list) else [])
    posted["forbids-cpu"] = "on" if value.forbids_cpu else ""
    set_gpus(engine, posted, user=None)


def _container(engine: Engine, value: ContainerWish) -> None:
    """By the form that people fill in, so that the same rules hold."""
    posted = QueryDict(mutable=True)
    try:
        ports = ports_shown(PortBinding(**row) for row in value.model_dump()["ports"])
        mounts = mounts_shown(Mount(**row) for row in value.model_dump()["mounts"])
        limits = limits_shown(value.limits)
    except (TypeError, ValueError, AttributeError) as error:
        raise Refused("CONTAINER_INVALID", f"The container cannot be read: {error}") from error
    for port in ports.rows:
        posted.appendlist("port-container", port.container.text)
        posted.appendlist("port-address", port.address.text)
        posted.appendlist("port-host", port.host.text)
        posted.appendlist("port-protocol", port.protocol.text)
    for mount in mounts.rows:
        posted.appendlist("mount-source", mount.source.text)
        posted.appendlist("mount-target", mount.target.text)
        posted.appendlist("mount-mode", mount.mode.text)
    for name, cell in limits.fields.items():
        posted[name] = cell.text
    context = set_container(engine, posted, user=None)
    if errors := context.get("container_errors"):
        raise Refused("CONTAINER_INVALID", " ".join(errors))


SETTERS: dict[str, Callable[[Engine, Any], None]] = {
    "enabled": _enabled,
    "keep_running": _keep_running,
    "default": _default,
    "auto_updates": _auto_updates,
    "idle_minutes": _idle,
    "language": _language,
    "parameters": _parameters,
    "environment": _environment,
    "gpus": _gpus,
    "container": _container,
}
