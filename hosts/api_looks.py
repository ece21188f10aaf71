"""Looking at a host over the API, in the contract's words for what was found."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from ninja import Router

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import HostId, bytes_of, endpoint, person
from hosts import remote, services
from hosts.api import found
from hosts.api_shapes import CheckShape, HostKeyShape, Tested, TestWish, tested_shape
from hosts.models import Host, RemoteAccess
from jobs.waiting import answer_later

router = Router(tags=["hosts"], by_alias=True)
LONGEST_LOOK = 20.0
"""Seconds; a look at a host that does not answer takes a few."""
LONGEST_CHECK = 60.0
"""Seconds; the tests of the way to a host go on after one another."""
LOOK_PAUSE = 0.1
CATEGORIES = {
    "SSH_KEY_LOST": "SSH_KEY_NOT_FOUND",
    "SSH_KEY_REFUSED": "SSH_AUTH_FAILED",
    "SSH_REFUSED": "SSH_CONNECTION_REFUSED",
    "SSH_TIMEOUT": "SSH_TIMEOUT",
    "SSH_SILENT": "SSH_TIMEOUT",
    "SSH_NO_REPLY": "SSH_TIMEOUT",
    "SSH_SOCKET_FORBIDDEN": "DOCKER_PERMISSION_DENIED",
}
"""The contract's word for how a test failed; any other trouble is its SSH_ERROR."""
FAILED, ASKED, PASSED = "failed", "asked", ("passed", "warned")


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
    """The host that one is adding is tested as well, before it is on the list."""
    return _tested(request, wish.host_id, wish.ssh_url)


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
    return _tested(request, host_id, "")


def _tested(request: HttpRequest, host_id: str, url: str) -> HttpResponseBase:
    user = person(request)
    draft = draft_of(user, host_id)
    if draft is not None:
        _require_same(draft, url)
        return _checked(request, draft)
    host = found(host_id)
    access = RemoteAccess.objects.filter(host=host).first()
    if access is not None and user.is_admin and host.is_enabled:
        return _checked(request, access)
    services.ask_probe(host, user=user)
    return answer_later(
        request,
        wait=partial(_looked_at, host.pk, host.last_checked_at),
        finish=lambda _: bytes_of(tested_shape(found(host.host_id))),
    )


def draft_of(user: User, host_id: str) -> RemoteAccess | None:
    """What this person is adding, if it has this id."""
    draft = remote.being_added(user)
    return draft if draft is not None and draft.mark == host_id else None


def _require_same(draft: RemoteAccess, url: str) -> None:
    if url and not remote.is_address(url, of=draft):
        raise Refused(
            "HOST_ADDRESS_INVALID",
            f"{draft.mark} was prepared for {draft.address}. Prepare it anew for another address.",
            status=400,
            hostId=draft.mark,
        )


def _checked(request: HttpRequest, access: RemoteAccess) -> HttpResponseBase:
    """Have a worker test the whole way, and answer when it has."""
    remote.ask_check(access, user=person(request))
    mine = RemoteAccess.objects.filter(pk=access.pk).select_related("host")
    return answer_later(
        request,
        wait=partial(_ended, mine),
        finish=lambda _: bytes_of(checked_shape(mine.first())),
    )


async def _ended(mine: QuerySet[RemoteAccess]) -> None:
    until = time.monotonic() + LONGEST_CHECK
    while time.monotonic() < until:
        access = await sync_to_async(mine.first)()
        if access is None or not access.is_being_checked:
            return
        await asyncio.sleep(LOOK_PAUSE)


async def _looked_at(pk: int, before: datetime | None) -> bool:
    rows = Host.objects.filter(pk=pk).values_list("last_checked_at", flat=True)
    until = time.monotonic() + LONGEST_LOOK
    while time.monotonic() < until:
        if await sync_to_async(rows.first)() != before:
            return True
        await asyncio.sleep(LOOK_PAUSE)
    return False


def checked_shape(access: RemoteAccess | None) -> Tested:
    """What the tests of a way to a host found. Raises Refused if it was given up meanwhile."""
    if access is None:
        raise Refused("HOST_NOT_FOUND", "That host is not being added any more.", status=404)
    rows = {str(row["key"]): row for row in access.checks}
    is_well = access.is_proved
    bad = next((row for row in access.checks if row["state"] in (FAILED, ASKED)), None)
    error = None if is_well else str(bad["text"]) if bad else "The test has not ended yet."
    category = CATEGORIES.get(str((bad or {}).get("code", "")), "SSH_ERROR")
    return Tested(
        success=is_well,
        docker_version=_fact(rows, "version") or None,
        has_gpu=_fact(rows, "gpu") not in ("", "0"),
        has_docker_permission=rows.get("socket", {}).get("state") in PASSED,
        error=error,
        error_category=None if is_well else category,
        checks=[
            CheckShape(**{key: row[key] for key in ("key", "state", "text")})
            for row in rows.values()
        ],
        host_keys=[
            HostKeyShape(fingerprint=key.fingerprint, kind=key.words) for key in access.offered
        ],
    )


def _fact(rows: dict[str, dict[str, Any]], key: str) -> str:
    return str(rows.get(key, {}).get("fact") or "")
