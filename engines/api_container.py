"""How an engine runs, over the API: environment, limits, ports, volumes, idle time.

The same readers as for the pages' forms check what is sent, so both doors refuse the same.
"""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponseBase, QueryDict
from ninja import Router
from pydantic import Field

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import WHOLE, Shape, Text, VariantId, Wish, bytes_of, endpoint, person
from accounts.roles import require_role
from engines.api_naming import engine_of
from engines.container_settings import set_container, set_idle
from engines.environment import environment_shown, read_environment, set_variables
from engines.limits import limits_shown
from engines.models import Engine

router = Router(tags=["engine settings"], by_alias=True)
OPERATOR, ADMIN = User.Role.OPERATOR, User.Role.ADMIN
Value = Annotated[str, Field(max_length=10_000)]
Port = Annotated[int, Field(ge=1, le=65_535), WHOLE]


class Variable(Shape):
    """A variable; a secret's value is never told."""

    name: str
    value: str | None
    is_secret: bool
    is_set: bool
    is_required: bool
    description: str
    default: str


class EnvironmentAnswer(Shape):
    """The variables of an engine."""

    success: bool = True
    variant_id: str
    variables: list[Variable]


class VariableWish(Wish):
    """A variable as it is to be. A secret without a value keeps the one it has."""

    name: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: Value = ""
    is_secret: bool = False


class EnvironmentWish(Wish):
    """All variables: one that is absent goes."""

    variables: list[VariableWish] = Field(max_length=100)


class PortWish(Wish):
    """A port of the container, and where it is to be reached on its host; null lets it choose."""

    container_port: Port
    host_port: Port | None = None
    host_address: Text = "127.0.0.1"
    protocol: Text = "tcp"


class MountWish(Wish):
    """A volume by name or a folder of the host, and where it is seen inside."""

    source: Text
    target: Text
    is_read_only: bool = False


class LimitsWish(Wish):
    """Texts as people write them: memory `4 GB`, cpus `1.5`; empty is no limit."""

    cpus: Text = ""
    memory: Text = ""
    shm: Text = ""
    user: Text = ""
    entrypoint: Value | None = Field(None, description="Empty for none, null for the image's own.")
    command: Value = ""
    extra_hosts: dict[str, Text] = Field(default={}, max_length=50)
    restart_policy: Text = "no"
    restart_count: Annotated[int, Field(ge=1, le=1_000), WHOLE] | None = None


class ContainerWish(Wish):
    """What is absent stays as it is; a list that is sent replaces the whole list."""

    ports: list[PortWish] | None = Field(None, max_length=50)
    mounts: list[MountWish] | None = Field(None, max_length=50)
    limits: LimitsWish | None = None


class ContainerAnswer(Shape):
    """How an engine's container is made; sizes in bytes."""

    success: bool = True
    variant_id: str
    ports: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    limits: dict[str, Any]
    uses_gpu: bool
    gpus: list[str]


class IdleWish(Wish):
    """Minutes unused after which it is stopped; 0 never, null as the settings say."""

    minutes: Annotated[int, Field(ge=0, le=10_000), WHOLE] | None = None


class IdleAnswer(Shape):
    """Its own minutes, and those in force."""

    success: bool = True
    variant_id: str
    minutes: int | None
    minutes_in_force: int


@endpoint(
    router,
    "GET",
    "/engines/{variant_id}/environment",
    response=EnvironmentAnswer,
    role=ADMIN,
    errors=[404],
    summary="Read an engine's variables",
)
def get_environment(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    """For admins: values are secrets more often than not."""
    return bytes_of(_environment(engine_of(variant_id)))


def _environment(engine: Engine) -> EnvironmentAnswer:
    rows = [
        Variable(
            name=row.name.text,
            value=None if row.is_secret else row.value.text,
            is_secret=row.is_secret,
            is_set=row.is_set or bool(row.value.text),
            is_required=bool(row.known and row.known.is_required),
            description=row.known.description if row.known else "",
            default=row.default_text,
        )
        for row in environment_shown(engine).rows
    ]
    return EnvironmentAnswer(variant_id=engine.address, variables=rows)


@endpoint(
    router,
    "PUT",
    "/engines/{variant_id}/environment",
    response=EnvironmentAnswer,
    role=ADMIN,
    errors=[400, 404],
    summary="Set an engine's variables",
)
def put_environment(
    request: HttpRequest, variant_id: VariantId, wish: EnvironmentWish
) -> HttpResponseBase:
    """They count from the next start."""
    engine = engine_of(variant_id)
    known = {row.name.text for row in environment_shown(engine).known_rows}
    form = QueryDict(mutable=True)
    sent = {row.name for row in wish.variables}
    for name in known - sent:
        form[f"remove-{name}"] = "on"
    for row in wish.variables:
        if row.name in known:
            form[f"variable-{row.name}"] = row.value
            continue
        form.appendlist("env-name", row.name)
        form.appendlist("env-value", row.value)
        form.appendlist("env-kind", "secret" if row.is_secret else "plain")
    set_variables(engine, variables=read_environment(engine, form), user=person(request))
    return bytes_of(_environment(engine_of(variant_id)))


@endpoint(
    router,
    "GET",
    "/engines/{variant_id}/container",
    response=ContainerAnswer,
    errors=[404, 409],
    summary="Read ports, volumes and limits",
)
def get_container(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    return bytes_of(_container(engine_of(variant_id)))


def _container(engine: Engine) -> ContainerAnswer:
    if not engine.host.is_docker:
        raise Refused("NO_CONTAINER", f"{engine} runs as a process; it has no container to set.")
    return ContainerAnswer(
        variant_id=engine.address,
        ports=engine.ports,
        mounts=engine.mounts,
        limits=engine.limits,
        uses_gpu=engine.uses_gpu,
        gpus=[str(uuid) for uuid in engine.gpus],
    )


@endpoint(
    router,
    "PATCH",
    "/engines/{variant_id}/container",
    response=ContainerAnswer,
    role=OPERATOR,
    errors=[400, 404, 409],
    summary="Set ports, volumes and limits",
)
def patch_container(
    request: HttpRequest, variant_id: VariantId, wish: ContainerWish
) -> HttpResponseBase:
    """They count from the next start. Limits, and ports open to the network, are for admins."""
    engine = engine_of(variant_id)
    _container(engine)
    if wish.limits is not None:
        require_role(person(request), ADMIN)
    said = set_container(engine, _form(engine, wish), user=person(request))
    if faults := said.get("container_errors"):
        raise Refused("CONTAINER_INVALID", " ".join(faults), status=400, error=" ".join(faults))
    return bytes_of(_container(engine_of(variant_id)))


def _form(engine: Engine, wish: ContainerWish) -> QueryDict:
    """What the page's form would send: what is absent stands there as it is set."""
    form = QueryDict(mutable=True)
    ports = wish.ports
    for port in [PortWish(**row) for row in engine.ports] if ports is None else ports:
        form.appendlist("port-container", str(port.container_port))
        form.appendlist("port-host", str(port.host_port or ""))
        form.appendlist("port-address", port.host_address)
        form.appendlist("port-protocol", port.protocol)
    mounts = wish.mounts
    for mount in [MountWish(**row) for row in engine.mounts] if mounts is None else mounts:
        form.appendlist("mount-source", mount.source)
        form.appendlist("mount-target", mount.target)
        form.appendlist("mount-mode", "ro" if mount.is_read_only else "rw")
    if wish.limits is None:
        form.update({name: cell.text for name, cell in limits_shown(engine.limits).fields.items()})
    else:
        form.update(_limits(wish.limits))
    return form


def _limits(wish: LimitsWish) -> dict[str, str]:
    mode = "inherit" if wish.entrypoint is None else "list" if wish.entrypoint else "none"
    return {
        "cpus": wish.cpus,
        "memory": wish.memory,
        "shm": wish.shm,
        "user": wish.user,
        "entrypoint_mode": mode,
        "entrypoint": wish.entrypoint or "",
        "command": wish.command,
        "extra_hosts": "\n".join(
            f"{' '.join(name.split())} {address}" for name, address in wish.extra_hosts.items()
        ),
        "restart_policy": wish.restart_policy,
        "restart_count": "" if wish.restart_count is None else str(wish.restart_count),
    }


@endpoint(
    router,
    "PUT",
    "/engines/{variant_id}/idle",
    response=IdleAnswer,
    role=OPERATOR,
    errors=[404],
    summary="Set after how long unused it is stopped",
)
def put_idle(request: HttpRequest, variant_id: VariantId, wish: IdleWish) -> HttpResponseBase:
    text = "" if wish.minutes is None else str(wish.minutes)
    engine = set_idle(engine_of(variant_id), text=text, user=person(request))
    return bytes_of(
        IdleAnswer(
            variant_id=engine.address,
            minutes=engine.idle_minutes,
            minutes_in_force=engine.idle_limit,
        )
    )
