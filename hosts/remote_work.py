"""Testing the way to a host because a person asked: what was found is written down as it comes."""

from __future__ import annotations

import contextlib
from typing import Any

from django.utils import timezone

from hosts.models import Host, RemoteAccess
from hosts.remote_links import KeyLost, link_of, target_of
from hosts.runners.base import RunnerError
from hosts.ssh.checks import Check, CheckResult, Outcome, check_host
from hosts.ssh.errors import HostKeyChanged
from hosts.ssh.known import HostKey
from hosts.ssh.login import log_in, offered_keys
from hosts.ssh.target import Target
from hosts.work import probe
from jobs.events import announce, hint

WAITING, RUNNING = "waiting", "running"
"""States of a row besides those of Outcome."""


def check_asked(access_pk: int) -> None:
    """Test the way to a host, or to one that is being added; quiet if that was given up."""
    access = RemoteAccess.objects.filter(pk=access_pk).select_related("host").first()
    if access is None:
        return
    if access.pending_key:
        _try_next_key(access)
    _check(access)
    host = access.host
    if host is not None and host.is_enabled:
        _look_again(host)


def _try_next_key(access: RemoteAccess) -> None:
    """If the host lets the next key in already, it is the key from now on."""
    try:
        log_in(target_of(access, is_pending=True)).close()
    except RunnerError:
        return  # the test by the present key says what is wrong, if anything is
    mine = RemoteAccess.objects.filter(pk=access.pk, pending_key=access.pending_key)
    if mine.update(key=access.pending_key, pending_key=""):
        words = f"{access} takes abm's new key; the old one was thrown away"
        announce("hosts", "access.changed", text=words, pk=access.pk)
    access.refresh_from_db()


def _check(access: RemoteAccess) -> None:
    mine = RemoteAccess.objects.filter(pk=access.pk)
    rows = {check: _row(check) for check in Check}
    offered: tuple[HostKey, ...] = ()
    try:
        target = target_of(access)
    except KeyLost as error:
        lost = CheckResult(Check.AUTHENTICATION, Outcome.FAILED, error.message, code=error.code)
        _tell(access, {**rows, lost.check: _row_of(lost)})
        mine.update(checked_at=timezone.now(), offered_keys=[])
        return
    _tell(access, {**rows, Check.REACHABLE: _row(Check.REACHABLE, RUNNING)})
    for result in check_host(target):
        rows[result.check] = _row_of(result)
        offered = offered or _offered(target, result)
        _tell(access, {**rows, **_next(rows)})
    lines = [key.line for key in offered]
    mine.update(offered_keys=lines, checked_at=timezone.now())
    hint("hosts", "access.changed", pk=access.pk)


def _offered(target: Target, result: CheckResult) -> tuple[HostKey, ...]:
    """What the host shows, for an admin to compare."""
    if result.code == HostKeyChanged.code:
        with contextlib.suppress(RunnerError):
            return offered_keys(target.peer)
    return result.offered


def _tell(access: RemoteAccess, rows: dict[Check, dict[str, Any]]) -> None:
    RemoteAccess.objects.filter(pk=access.pk).update(checks=list(rows.values()))
    hint("hosts", "access.changed", pk=access.pk)


def _next(rows: dict[Check, dict[str, Any]]) -> dict[Check, dict[str, Any]]:
    """The row that is under way."""
    for check, row in rows.items():
        if row["state"] == WAITING:
            return {check: _row(check, RUNNING)}
    return {}


def _row(check: Check, state: str = WAITING) -> dict[str, Any]:
    return {"key": check.value, "title": check.label, "state": state, "text": "", "detail": ""}


def _row_of(result: CheckResult) -> dict[str, Any]:
    told = {"text": result.sentence, "detail": result.detail}
    told |= {"code": result.code, "fact": result.fact}
    return {**_row(result.check, result.outcome.value), **told}


def _look_again(host: Host) -> None:
    with contextlib.suppress(RunnerError):  # the probe says why
        link_of(host).try_now()
    probe(host)
