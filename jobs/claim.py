"""Taking a job: compare-and-set on its row, and the wait while a host has enough to do."""

from __future__ import annotations

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from jobs.database import insist, patient
from jobs.events import ORIGIN, announce
from jobs.models import Job
from jobs.services import ring

CLAIM_LOCK = 0x61626D03  # PostgreSQL advisory lock: one claim of an install at a time.
KEPT_THREADS = 2
"""So many of a worker's do no install: what is quick never waits behind what takes minutes."""
WORKER_FULL = "other installs of this worker"


def claim(job_id: int) -> Job | None:
    """Take a waiting job for this process, or None: somebody has it, or its host is full."""
    with transaction.atomic():
        job = Job.objects.filter(pk=job_id, status=Job.Status.QUEUED).first()
        if job is None or _must_wait(job):
            return None
        taken = Job.objects.filter(pk=job_id, status=Job.Status.QUEUED).update(
            status=Job.Status.RUNNING,
            worker=ORIGIN,
            started_at=Now(),
            heartbeat_at=Now(),
            waiting_for="",
        )
        if not taken:
            return None
        announce("jobs", "job.changed", pk=job_id, status=Job.Status.RUNNING)
    with patient():
        insist(job.refresh_from_db)
    return job


@transaction.atomic
def hand_on(job: Job) -> bool:
    """Let another worker begin a job of this process anew; False if it ended or shall end."""
    ours = Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING, worker=ORIGIN)
    handed = ours.filter(cancel_requested_at=None).update(
        status=Job.Status.QUEUED,
        worker="",
        started_at=None,
        heartbeat_at=None,
        steps=[],
        percent=0,
        progress_done=0,
        progress_total=None,
        rate=None,
        transfer={},
        child_pid=None,
        child_created=None,
    )
    if handed:
        announce("jobs", "job.changed", pk=job.pk)
        ring(job)
    return bool(handed)


def _must_wait(job: Job) -> bool:
    """Whether its host or its registry has enough to do; the row then says which."""
    reason = _full(job)
    if not reason:
        return False
    if job.waiting_for != reason:
        Job.objects.filter(pk=job.pk, status=Job.Status.QUEUED).update(waiting_for=reason)
        announce("jobs", "job.changed", pk=job.pk)
    return True


def _full(job: Job) -> str:
    if job.host is not None and job.host.is_away and job.waits_while_away:
        return f"{job.host}, which is not reachable"
    if job.action not in Job.HEAVY:
        return ""
    _wait_for_other_claims()
    heavy = Job.objects.filter(action__in=Job.HEAVY, status=Job.Status.RUNNING)
    if heavy.filter(worker=ORIGIN).count() >= max(1, settings.WORKER_THREADS - KEPT_THREADS):
        return WORKER_FULL
    if job.host_id is not None:
        there = heavy.filter(host_id=job.host_id).count()
        if there >= settings.JOBS_PER_HOST:
            return f"{there} other installs on this host"
    if job.registry:
        from_it = heavy.filter(registry=job.registry).count()
        if from_it >= settings.JOBS_PER_REGISTRY:
            return f"{from_it} other pull{'s' if from_it > 1 else ''} from {job.registry}"
    return ""


def _wait_for_other_claims() -> None:
    """Until this transaction ends, nobody else counts what runs: of two both would see room.

    SQLite lets one transaction in at a time anyhow.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIM_LOCK])


def ring_next(job: Job) -> None:
    """A place on the host, at the registry and here is free: wake those who wait, oldest first."""
    if job.action not in Job.HEAVY:
        return
    waiting = Job.objects.filter(action__in=Job.HEAVY, status=Job.Status.QUEUED).order_by("pk")
    freed = [(Q(waiting_for=WORKER_FULL), 1)]
    if job.host_id:
        freed.append((Q(host_id=job.host_id), settings.JOBS_PER_HOST))
    if job.registry:
        freed.append((Q(registry=job.registry), settings.JOBS_PER_REGISTRY))
    woken: set[int] = set()
    for place, many in freed:
        for next_one in waiting.filter(place).exclude(pk__in=woken)[:many]:
            woken.add(next_one.pk)
            ring(next_one)
