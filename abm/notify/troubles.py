"""Noticing what people want to be told: troubles that began, troubles that are over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from abm.notify.models import Delivery, Kind, NotifyTarget, Trouble
from engines.models import Engine
from engines.queries import newer_exists
from hosts.models import Host
from jobs.models import Event, Job

GRACE = timedelta(seconds=45)
"""A host that is back within this time was never worth a message."""
REPEAT = timedelta(hours=1)
"""The same trouble, come back, is told again after this time."""
LOW_DISK_SHARE, LOW_DISK_BYTES = 0.95, 5_000_000_000
ENOUGH_AGAIN = 1.2
CRASHED = "ENGINE_CRASHED"
KEY_CHANGED = "SSH_HOST_KEY_CHANGED"


@dataclass(frozen=True, slots=True)
class Seen:
    """A trouble as a look finds it."""

    key: str
    kind: Kind
    title: str
    text: str = ""


def look(events: Iterable[Event]) -> None:
    """Compare what is wrong now, and what these events told, with what is known; queue messages."""
    lasting = [*hosts_down(), *disks_low(), *updates(), *changed_keys()]
    for seen in lasting:
        note(seen)
    known = {seen.key for seen in lasting}
    kinds = (Kind.HOST_DOWN, Kind.DISK_LOW, Kind.UPDATE, Kind.HOST_KEY)
    for trouble in Trouble.objects.filter(ended_at=None, kind__in=kinds).exclude(key__in=known):
        end(trouble)
    for seen in crashes(events):
        note(seen, is_new_each_time=True)
    for seen in failed_jobs(events):
        note(seen, is_new_each_time=True)
    for trouble in Trouble.objects.filter(ended_at=None, told_at=None):
        _tell_when_due(trouble)


def note(seen: Seen, *, is_new_each_time: bool = False) -> Trouble:
    """Open this trouble, or find it open; one that comes in single blows is counted."""
    now = timezone.now()
    open_ones = Trouble.objects.filter(key=seen.key, ended_at=None)
    trouble = open_ones.first()
    if trouble is None:
        try:
            with transaction.atomic():
                return Trouble.objects.create(
                    key=seen.key, kind=seen.kind, title=seen.title[:200], text=seen.text
                )
        except IntegrityError:  # another process saw it in this very moment
            trouble = open_ones.get()
    if is_new_each_time:
        if trouble.told_at is not None and now - trouble.told_at >= REPEAT:
            open_ones.update(ended_at=now)
            return note(seen, is_new_each_time=True)
        open_ones.update(times=F("times") + 1, seen_at=now, text=seen.text)
    return trouble


def end(trouble: Trouble) -> None:
    """It is over; who was told of it is told that, of a host at least."""
    ended = Trouble.objects.filter(pk=trouble.pk, ended_at=None).update(ended_at=timezone.now())
    if not ended or trouble.told_at is None or trouble.kind != Kind.HOST_DOWN:
        return
    queue(trouble, title=trouble.title.replace(" is down", " is back"), text="", is_over=True)


def _tell_when_due(trouble: Trouble) -> None:
    """Queue the message, once; not too soon for a host, and not again and again."""
    now = timezone.now()
    if trouble.kind == Kind.HOST_DOWN and now - trouble.began_at < GRACE:
        return
    before = Trouble.objects.filter(key=trouble.key, told_at__gt=now - REPEAT)
    if before.exclude(pk=trouble.pk).exists():
        return
    if Trouble.objects.filter(pk=trouble.pk, told_at=None).update(told_at=now):
        again = f" It happened {trouble.times} times." if trouble.times > 1 else ""
        queue(trouble, title=trouble.title, text=f"{trouble.text}{again}".strip())


def queue(trouble: Trouble, *, title: str, text: str, is_over: bool = False) -> None:
    """A message to each target that chose this kind, at the end of its quiet time."""
    now = timezone.now()
    for target in NotifyTarget.objects.filter(is_enabled=True):
        if trouble.kind in target.kinds:
            Delivery.objects.create(
                target=target,
                kind=trouble.kind,
                key=trouble.key,
                title=title[:200],
                text=text,
                is_over=is_over,
                due_at=target.speaks_at(now),
            )


def hosts_down() -> Iterable[Seen]:
    """Hosts that are switched on and do not answer; one that never did is no news."""
    hosts = Host.objects.filter(is_enabled=True).exclude(state__in=Host.USABLE)
    for host in hosts.exclude(seen_at=None).exclude(state=Host.State.STARTING):
        text = host.state_text or host.get_state_display()
        yield Seen(f"host-{host.pk}-down", Kind.HOST_DOWN, f"{host} is down", text)


def changed_keys() -> Iterable[Seen]:
    """Hosts whose key is another one than the one that was accepted."""
    for host in Host.objects.filter(is_enabled=True, advice__code=KEY_CHANGED):
        title = f"The key of {host} changed"
        yield Seen(f"host-{host.pk}-key", Kind.HOST_KEY, title, host.state_text)


def disks_low() -> Iterable[Seen]:
    """Disks with little left; what was told stays open until there is clearly more."""
    told = set(
        Trouble.objects.filter(ended_at=None, kind=Kind.DISK_LOW).values_list("key", flat=True)
    )
    for host in Host.objects.filter(is_enabled=True):
        free, total = host.facts.get("disk_free"), host.facts.get("disk_total")
        if not isinstance(free, int | float) or not isinstance(total, int | float) or not total:
            continue
        key = f"host-{host.pk}-disk"
        least = min(LOW_DISK_BYTES, (1 - LOW_DISK_SHARE) * total)
        if free < least * (ENOUGH_AGAIN if key in told else 1):
            text = (
                f"{free / 1e9:.1f} GB of {total / 1e9:.0f} GB are free. Its page gives some back."
            )
            yield Seen(key, Kind.DISK_LOW, f"The disk of {host} is nearly full", text)


def updates() -> Iterable[Seen]:
    """Engines with something newer; another digest is another message."""
    rows = Engine.objects.filter(newer_exists(), state__in=Engine.INSTALLED).select_related("host")
    for engine in rows:
        key = f"engine-{engine.pk}-update-{engine.update_digest[-16:]}"
        title = f"{engine} on {engine.host} has an update"
        yield Seen(key, Kind.UPDATE, title, engine.update_text)


def crashes(events: Iterable[Event]) -> Iterable[Seen]:
    """Engines that ended by themselves while they ran."""
    for event in events:
        ids = event.ids
        if event.name != "engine.changed" or ids.get("state") != Engine.State.FAILED:
            continue
        if ids.get("code") == CRASHED:
            key = f"engine-{ids.get('pk')}-crash"
            title = f"{ids.get('variant')} crashed"
            yield Seen(key, Kind.ENGINE_CRASHED, title, str(ids.get("error", "")))


def failed_jobs(events: Iterable[Event]) -> Iterable[Seen]:
    """Jobs that failed; trying the same again and failing again is the same trouble."""
    pks = {
        event.ids.get("pk")
        for event in events
        if event.name == "job.changed" and event.ids.get("status") == Job.Status.FAILED
    }
    for job in Job.objects.filter(pk__in=pks, status=Job.Status.FAILED):
        key = f"job-{job.action}-{job.engine_id or job.host_id or job.subject}"[:200]
        yield Seen(key, Kind.JOB_FAILED, f"{job} failed", job.error)
