"""A job as the API tells it, and answers that come when one has ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from django.http import HttpRequest, HttpResponseBase
from pydantic import BaseModel

from accounts.refused import Refused
from accounts.rest import Shape, bytes_of
from jobs.ending import job_ended
from jobs.models import Job
from jobs.queries import job_shown
from jobs.waiting import answer_later
from jobs.when_away import chosen

Made = TypeVar("Made", bound=Job | None)
LONGEST_WAIT = 3_600
"""Seconds: a large image over a slow line takes most of an hour."""


class StepShape(Shape):
    """A step of a job."""

    key: str
    title: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    is_failed: bool = False


class JobShape(Shape):
    """A job. Sizes are bytes; an unknown number is null."""

    job_id: int
    action: str
    status: str
    subject: str
    host_id: str | None
    variant_id: str | None
    percent: float
    step: str
    steps: list[StepShape]
    bytes_done: int | None
    bytes_total: int | None
    bytes_per_second: float | None
    seconds_left: float | None
    waiting_for: str
    error_code: str
    error: str
    error_detail: str
    is_cancelling: bool
    can_be_retried: bool
    user: str | None
    retry_of: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobAnswer(Shape):
    """One job."""

    success: bool = True
    job: JobShape


def job_shape(job: Job) -> JobShape:
    """A job as the API tells it."""
    has_bytes = job.progress_unit == "bytes"
    return JobShape(
        job_id=job.pk,
        action=job.action,
        status=job.status,
        subject=job.subject,
        host_id=job.host.host_id if job.host else None,
        variant_id=job.engine.address if job.engine else None,
        percent=job.percent,
        step=job.step_title,
        steps=[StepShape.model_validate(step) for step in job.steps],
        bytes_done=job.progress_done if has_bytes else None,
        bytes_total=job.progress_total if has_bytes else None,
        bytes_per_second=job.rate,
        seconds_left=job.seconds_left,
        waiting_for=job.waiting_for,
        error_code=job.error_code,
        error=job.error,
        error_detail=job.error_detail,
        is_cancelling=job.is_cancelling,
        can_be_retried=job.can_be_retried,
        user=job.user.username if job.user else None,
        retry_of=job.retry_of_id,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def job_answer(job: Job) -> JobAnswer:
    """One job as an answer of its own."""
    return JobAnswer(job=job_shape(job))


def shown(pk: int) -> Job:
    """One job. Raises Refused 404."""
    job = job_shown(pk)
    if job is None:
        raise Refused(
            "JOB_NOT_FOUND",
            "There is no such job; jobs are kept for 30 days.",
            status=404,
            jobId=pk,
        )
    return job


def asked_for(job: Job) -> HttpResponseBase:
    """202: the job is on its way, and here is where to look."""
    answer = bytes_of(job_answer(shown(job.pk)), status=202)
    answer["Location"] = f"/api/jobs/{job.pk}"
    return answer


def joined(action: str, ask: Callable[[], Made], **params: object) -> Made | Job:
    """The job that `ask` makes, or the same one that is under way already: asked twice, done once.

    Raises Refused as `ask` does, also JOB_RUNNING for another action's or one with other `params`.
    """
    try:
        return ask()
    except Refused as refused:
        pk = refused.params.get("job")
        same = Job.objects.filter(pk=pk if isinstance(pk, int) else 0, action=action).first()
        if refused.code != "JOB_RUNNING" or same is None:
            raise
        if not same.has_params(params | chosen()):
            raise
        return same


def when_ended(
    request: HttpRequest,
    job: Job,
    finish: Callable[[Job], BaseModel],
    *,
    seconds: float = LONGEST_WAIT,
) -> HttpResponseBase:
    """`finish(job)` once it ended, without holding a thread; 202 if that takes too long."""

    def answer(has_ended: bool) -> HttpResponseBase:
        return bytes_of(finish(shown(job.pk))) if has_ended else asked_for(job)

    return answer_later(request, wait=partial(job_ended, job.pk, seconds=seconds), finish=answer)


def answered(
    request: HttpRequest, job: Job, finish: Callable[[Job], BaseModel], *, wait: bool
) -> HttpResponseBase:
    """`finish(job)` when it has ended if the caller waits, else 202 with the job at once."""
    return when_ended(request, job, finish) if wait else asked_for(job)
