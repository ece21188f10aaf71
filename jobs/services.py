"""What a person may ask of jobs, and what keeps the table honest."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.audit import forget_old, note
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_host, require_role
from jobs.events import announce
from jobs.models import Event, Job
from jobs.when_away import chosen

log = logging.getLogger(__name__)


def ring(job: Job) -> None:
    """Wake a worker for `job` once the transaction commits; a dead broker is only logged.

    The sweep rings again, so a lost ring costs seconds and never the job.
    """
    transaction.on_commit(partial(_send, job.pk, job.task))


def _send(job_id: int, task: str) -> None:
    Job.objects.filter(pk=job_id).update(rung_at=Now())
    try:
        current_app.send_task(task, args=[job_id], retry=False)
    except (OperationalError, OSError) as error:
        log.warning("the broker did not take job %s: %s", job_id, error)


def ring_again(job_id: int) -> None:
    """Wake a worker of this process for a job that another one asked for, if it still waits."""
    job = Job.objects.filter(pk=job_id, status=Job.Status.QUEUED).first()
    if job is not None:
        _send(job.pk, job.task)


def ring_task(task: str, *args: int) -> None:
    """Have a worker do what is no job, once the transaction commits; a dead broker is logged."""
    transaction.on_commit(partial(_send_task, task, *args))


def _send_task(task: str, *args: int) -> None:
    try:
        current_app.send_task(task, args=list(args), retry=False)
    except (OperationalError, OSError) as error:
        log.warning("the broker did not take %s%s: %s", task, args, error)


@transaction.atomic
def submit_job(
    *,
    action: str,
    task: str,
    subject: str,
    user: User | None,
    host: Any = None,
    engine: Any = None,
    params: dict[str, Any] | None = None,
    registry: str = "",
    retry_of: Job | None = None,
) -> Job:
    """Make a job, note who asked for it and ring for it; only on a host that they may operate.

    Raises Refused JOB_RUNNING if the engine already has one, or HOST_NOT_GRANTED.
    """
    require_host(user, host.pk if host is not None else None)
    try:
        with transaction.atomic():
            job = Job.objects.create(
                action=action,
                task=task,
                subject=subject,
                user=user,
                host=host,
                engine=engine,
                params={**(params or {}), **chosen()},
                registry=registry,
                retry_of=retry_of,
            )
    except IntegrityError as error:
        other = Job.objects.filter(engine=engine, status__in=Job.OPEN).first()
        if other is None:
            raise
        raise Refused(
            "JOB_RUNNING",
            f"{other} is still under way. Wait for it, or cancel it first.",
            job=other.pk,
        ) from error
    return _asked(job, user)


@transaction.atomic
def submit_once(
    *,
    at: models.Model,
    action: str,
    params: Mapping[str, Any],
    alike: Collection[str] | None = None,
    host: Any = None,
    **asked: Any,
) -> Job:
    """Make a job unless the same waits or runs on `host`: asked twice, both get that one.

    Askers `at` the same row wait for each other here. Jobs are the same if their `alike`
    parameters are; None means all of them. Raises Refused JOB_RUNNING for one that does something
    else while its host is away.
    """
    type(at)._default_manager.select_for_update().get(pk=at.pk)
    wanted = {name: params[name] for name in (params if alike is None else alike)}
    for job in Job.objects.filter(host=host, action=action, status__in=Job.OPEN).order_by("pk"):
        if not job.has_params(wanted):
            continue
        if job.has_params(chosen()):
            return job
        raise Refused("JOB_RUNNING", f"{job} is still under way.", job=job.pk)
    return submit_job(action=action, host=host, params=dict(params), **asked)


def _asked(job: Job, user: User | None) -> Job:
    """Tell it, note it and ring for it."""
    text = f"{job} was asked for"
    announce("jobs", "job.changed", text=text, pk=job.pk, status=job.status)
    ring(job)
    of, pk = "abm", None
    for kind, key in (("engine", job.engine_id), ("host", job.host_id)):
        if key is not None:
            of, pk = kind, key
            break
    after = {"job": job.pk, **job.params}
    note(f"{of}.{job.action}", job.subject, pk=pk, user=user, after=after)
    return job


@transaction.atomic
def cancel_job(job: Job, *, user: User | None) -> Job:
    """End `job` now if it waits, or as soon as its work notices (within a second)."""
    require_role(user, User.Role.OPERATOR, host=job.host_id)
    now = timezone.now()
    waiting = Job.objects.filter(pk=job.pk, status=Job.Status.QUEUED)
    if waiting.update(
        status=Job.Status.CANCELLED, cancel_requested_at=now, finished_at=now, error="Cancelled."
    ):
        status = Job.Status.CANCELLED
        announce("jobs", "job.changed", text=f"{job} was cancelled", pk=job.pk, status=status)
    elif not Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING).update(
        cancel_requested_at=now
    ):
        raise Refused("JOB_ENDED", f"{job} has already ended.", job=job.pk)
    else:
        announce("jobs", "job.changed", pk=job.pk)
    note("job.cancel", job, user=user)
    job.refresh_from_db()
    return job


def retry_job(job: Job, *, user: User | None) -> Job:
    """Do the same again as a new job that remembers the old one; one that is open is joined.

    Raises Refused JOB_RUNNING, JOB_SUCCEEDED or JOB_OBSOLETE.
    """
    require_role(user, User.Role.OPERATOR, host=job.host_id)
    if job.is_open:
        raise Refused("JOB_RUNNING", f"{job} is still under way.", job=job.pk)
    if job.status == Job.Status.SUCCEEDED:
        text = f"{job} was done. Ask for it anew where it was asked for."
        raise Refused("JOB_SUCCEEDED", text, job=job.pk)
    if job.action not in Job.WITHOUT_ENGINE and job.engine_id is None:
        raise Refused("JOB_OBSOLETE", f"{job.subject} is gone; install it from the catalog.")
    again = {
        "action": job.action,
        "task": job.task,
        "subject": job.subject,
        "user": user,
        "host": job.host,
        "params": job.params,
        "registry": job.registry,
        "retry_of": job,
    }
    if job.engine is not None:
        return submit_job(**again, engine=job.engine)
    return submit_once(at=job.host or job, **again)


def sweep(*, alive: Collection[int] = (), spares: bool = False) -> list[Job]:
    """Ring for jobs that nobody took and end those whose worker died; return the dead ones.

    `alive` are jobs that this process is doing: after the machine slept, or while the disk was
    full, their last beat is old and they are not. With `spares` none is ended. Only the database's
    clock counts; a beat in its future is of before it was put back, and is taken to be of now.
    """
    patience = timedelta(seconds=settings.JOB_LOST_SECONDS)
    running = Job.objects.filter(status=Job.Status.RUNNING)
    running.filter(heartbeat_at__gt=Now() + patience).update(heartbeat_at=Now())
    silent = running.filter(heartbeat_at__lt=Now() - patience)
    lost = [] if spares else list(silent.exclude(pk__in=alive))
    ended = [job for job in lost if end_lost_job(job)]
    unheard = models.Q(rung_at=None) | ~models.Q(
        rung_at__range=(Now() - patience, Now() + patience)
    )
    for job in Job.objects.filter(unheard, status=Job.Status.QUEUED).order_by("pk")[:100]:
        _send(job.pk, job.task)
    return ended


@transaction.atomic
def end_lost_job(job: Job) -> bool:
    """Mark a job failed whose worker is gone; False if it ended by itself meanwhile."""
    step = f" during the step “{job.step_title}”" if job.step_title else ""
    # Not equal: SQLite's own clock writes fewer digits than Django compares.
    ended = Job.objects.filter(
        pk=job.pk, status=Job.Status.RUNNING, heartbeat_at__lte=job.heartbeat_at
    ).update(
        status=Job.Status.FAILED,
        finished_at=timezone.now(),
        error_code="ABM_STOPPED",
        error=f"abm was stopped while this ran{step}. Nothing is stuck: press Retry.",
    )
    if ended:
        text, status = f"{job} failed: abm was stopped", Job.Status.FAILED
        announce("jobs", "job.changed", text=text, pk=job.pk, status=status)
    return bool(ended)


def interrupt_all() -> list[Job]:
    """End every running job: called at start by a process that knows no other worker lives."""
    return [job for job in Job.objects.filter(status=Job.Status.RUNNING) if end_lost_job(job)]


def prune() -> None:
    """Drop events older than a day, jobs older than 30 days, what the audit need not keep."""
    forget_old()
    Event.objects.filter(created_at__lt=timezone.now() - timedelta(days=1)).delete()
    old = timezone.now() - timedelta(days=30)
    Job.objects.filter(finished_at__lt=old).delete()
