"""Hosts over the API, in the contract's words; what it lacks is told in the same manner."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from functools import partial
from pathlib import Path as FilePath

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase
from ninja import Router

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import HostId, Said, bytes_of, endpoint, person
from hosts import services
from hosts.api_shapes import (
    Facts,
    HostsAnswer,
    HostShape,
    HostWish,
    Tested,
    TestWish,
    Volumes,
    VolumesWish,
    facts_shape,
    host_shape,
    hosts_answer,
    tested_shape,
    volumes_shape,
)
from hosts.models import Host
from hosts.queries import hosts_shown
from hosts.removal import delete_host
from jobs.waiting import answer_later

router = Router(tags=["hosts"], by_alias=True)
LONGEST_LOOK = 20.0
"""Seconds; a look at a host that does not answer takes a few."""
LOOK_PAUSE = 0.1


def found(host_id: str) -> Host:
    """One host by its id. Raises Refused 404."""
    host = hosts_shown().filter(host_id=host_id).first()
    if host is None:
        raise Refused(
            "HOST_NOT_FOUND", f"There is no host {host_id[:80]}.", status=404, hostId=host_id[:80]
        )
    return host


@endpoint(router, "GET", "/engine-hosts", response=HostsAnswer, summary="List hosts")
def list_hosts(request: HttpRequest) -> HttpResponseBase:
    return bytes_of(hosts_answer(hosts_shown().defer("strays", "disk", "model_places")))


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
    "POST",
    "/engine-hosts/test",
    response=Tested,
    role=User.Role.OPERATOR,
    errors=[404, 409],
    summary="Look at a host now, named in the body",
)
def test_named(request: HttpRequest, wish: TestWish) -> HttpResponseBase:
    return _tested(request, found(wish.host_id))


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
    errors=[400, 404],
    summary="Rename a host, or switch it on or off",
)
def change_host(request: HttpRequest, host_id: HostId, wish: HostWish) -> HttpResponseBase:
    host, user = found(host_id), person(request)
    if wish.name is not None and wish.name.strip() != host.display_name:
        services.rename_host(host, name=wish.name, user=user)
    if wish.is_enabled is not None and wish.is_enabled != host.is_enabled:
        services.set_host_enabled(host, is_enabled=wish.is_enabled, user=user)
    return bytes_of(host_shape(found(host_id)))


@endpoint(
    router,
    "DELETE",
    "/engine-hosts/{host_id}",
    response=Said,
    role=User.Role.ADMIN,
    errors=[400, 404],
    summary="Remove a host without engines",
)
def remove_host(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    host = found(host_id)
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
    "POST",
    "/engine-hosts/{host_id}/test",
    response=Tested,
    role=User.Role.OPERATOR,
    errors=[404, 409],
    summary="Look at a host now",
)
def test_host(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    return _tested(request, found(host_id))


def _tested(request: HttpRequest, host: Host) -> HttpResponseBase:
    """Have a worker look, and wait for what it writes down."""
    services.ask_probe(host, user=person(request))
    return answer_later(
        request,
        wait=partial(_looked_at, host.pk, host.last_checked_at),
        finish=lambda _: bytes_of(tested_shape(found(host.host_id))),
    )


async def _looked_at(pk: int, before: datetime | None) -> bool:
    rows = Host.objects.filter(pk=pk).values_list("last_checked_at", flat=True)
    until = time.monotonic() + LONGEST_LOOK
    while time.monotonic() < until:
        if await sync_to_async(rows.first)() != before:
            return True
        await asyncio.sleep(LOOK_PAUSE)
    return False


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
