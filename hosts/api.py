"""Hosts over the API, in the contract's words; what it lacks is told in the same manner."""

from __future__ import annotations

from pathlib import Path as FilePath

from django.http import HttpRequest, HttpResponseBase
from ninja import Router

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import HostId, Said, bytes_of, endpoint, person
from hosts import remote, services
from hosts.api_shapes import (
    Facts,
    GpusAnswer,
    HostShape,
    HostWish,
    Volumes,
    VolumesWish,
    facts_shape,
    gpus_answer,
    host_shape,
    volumes_shape,
)
from hosts.gpus import ask_gpus
from hosts.models import Host, RemoteAccess
from hosts.queries import hosts_shown
from hosts.removal import delete_host

router = Router(tags=["hosts"], by_alias=True)


def found(host_id: str) -> Host:
    """One host by its id. Raises Refused 404."""
    host = hosts_shown().filter(host_id=host_id).first()
    if host is None:
        raise Refused(
            "HOST_NOT_FOUND", f"There is no host {host_id[:80]}.", status=404, hostId=host_id[:80]
        )
    return host


@endpoint(
    router,
    "POST",
    "/engine-hosts/ensure-docker-local",
    response=HostShape,
    role=User.Role.ADMIN,
    summary="Have the Docker of this machine",
)
def ensure_docker_local(request: HttpRequest) -> HttpResponseBase:
    """Make it if it was removed, switch it on if it was switched off."""
    host = services.ensure_docker_host()
    if not host.is_enabled:
        services.set_host_enabled(host, is_enabled=True, user=person(request))
    services.ask_probe(host, user=person(request))
    return bytes_of(host_shape(found(host.host_id)))


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}",
    response=HostShape,
    errors=[404],
    summary="Get a host",
)
def get_host(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    return bytes_of(host_shape(found(host_id)))


@endpoint(
    router,
    "PATCH",
    "/engine-hosts/{host_id}",
    response=HostShape,
    role=User.Role.ADMIN,
    errors=[400, 404, 409],
    summary="Rename or move a host, or switch it on or off",
)
def change_host(request: HttpRequest, host_id: HostId, wish: HostWish) -> HttpResponseBase:
    host, user = found(host_id), person(request)
    if wish.name is not None and wish.name.strip() != host.display_name:
        services.rename_host(host, name=wish.name, user=user)
    if any(one is not None for one in (wish.ssh_url, wish.is_always_on, wish.waits_while_away)):
        _move(host, wish, user)
    if wish.is_enabled is not None and wish.is_enabled != host.is_enabled:
        services.set_host_enabled(host, is_enabled=wish.is_enabled, user=user)
    return bytes_of(host_shape(found(host_id)))


def _move(host: Host, wish: HostWish, user: User) -> None:
    access = RemoteAccess.objects.select_related("host").filter(host=host).first()
    if access is None:
        raise Refused("HOST_NOT_REMOTE", f"{host} is part of this machine.")
    is_always_on = access.is_always_on if wish.is_always_on is None else wish.is_always_on
    url = access.address if wish.ssh_url is None else wish.ssh_url
    remote.change_remote(
        access,
        url=url,
        is_always_on=is_always_on,
        waits_while_away=wish.waits_while_away,
        user=user,
    )


@endpoint(
    router,
    "DELETE",
    "/engine-hosts/{host_id}",
    response=Said,
    role=User.Role.ADMIN,
    errors=[400, 404, 409],
    summary="Remove a host without engines",
)
def remove_host(request: HttpRequest, host_id: HostId, forget: bool = False) -> HttpResponseBase:
    """`forget=true` lets go of a remote host with its engines; what is on it stays there."""
    host = found(host_id)
    if forget:
        remote.forget_host(host, user=person(request))
    else:
        delete_host(host, user=person(request))
    return bytes_of(Said(message=f"Host '{host.display_name}' was removed"))


@endpoint(
    router,
    "POST",
    "/engine-hosts/{host_id}/enable",
    response=HostShape,
    role=User.Role.ADMIN,
    errors=[404],
    summary="Switch a host on",
)
def enable_host(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    return _switched(request, host_id, is_enabled=True)


@endpoint(
    router,
    "POST",
    "/engine-hosts/{host_id}/disable",
    response=HostShape,
    role=User.Role.ADMIN,
    errors=[404],
    summary="Switch a host off; its engines are not touched",
)
def disable_host(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    return _switched(request, host_id, is_enabled=False)


def _switched(request: HttpRequest, host_id: str, *, is_enabled: bool) -> HttpResponseBase:
    host = found(host_id)
    services.set_host_enabled(host, is_enabled=is_enabled, user=person(request))
    if is_enabled:
        services.ask_probe(host, user=person(request))
    return bytes_of(host_shape(found(host_id)))


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}/facts",
    response=Facts,
    errors=[404],
    summary="What a host said of itself",
)
def host_facts(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    return bytes_of(facts_shape(found(host_id)))


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}/gpus",
    response=GpusAnswer,
    errors=[404],
    summary="List a host's graphics cards",
)
def host_gpus(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    """As they were read last; while somebody asks they are read every few seconds."""
    host = found(host_id)
    ask_gpus(host)
    return bytes_of(gpus_answer(host))


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}/volumes",
    response=Volumes,
    errors=[400, 404],
    summary="Where samples and models lie",
)
def get_volumes(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    return bytes_of(volumes_shape(_docker(host_id)))


def set_volumes(request: HttpRequest, host_id: HostId, wish: VolumesWish) -> HttpResponseBase:
    """Paths that are not there are saved all the same, and named in `validationError`."""
    host = _docker(host_id)
    services.set_host_paths(
        host,
        samples=wish.samples_path or "",
        models=wish.models_path or "",
        user=person(request),
    )
    named = {"samples": wish.samples_path, "models": wish.models_path}
    missing = [
        f"{word}: {path}"
        for word, path in named.items()
        if path and host.host_type == Host.Type.DOCKER_LOCAL and not FilePath(path).is_dir()
    ]
    answer = volumes_shape(host)
    if missing:
        answer.validation_error = f"Path(s) not found: {', '.join(missing)}"
    return bytes_of(answer)


for method in ("PUT", "POST"):
    endpoint(
        router,
        method,
        "/engine-hosts/{host_id}/volumes",
        response=Volumes,
        role=User.Role.ADMIN,
        errors=[400, 404],
        operation_id=f"hosts_volumes_{method.lower()}",
        summary="Say where samples and models lie",
    )(set_volumes)


def _docker(host_id: str) -> Host:
    host = found(host_id)
    if not host.is_docker:
        raise Refused(
            "HOST_NOT_DOCKER",
            f"{host} runs processes, which need no volumes.",
            status=400,
            hostId=host.host_id,
            hostType=host.host_type,
        )
    return host
