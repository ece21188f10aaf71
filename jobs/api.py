"""Jobs over the API: the list with a cursor, one job with its lines, cancel, retry, wait."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponseBase
from ninja import Path, Query, Router
from pydantic import Field

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import Id, Shape, Text, bytes_of, endpoint, person
from jobs import services
from jobs.api_answers import (
    LONGEST_WAIT,
    JobAnswer,
    JobShape,
    asked_for,
    job_answer,
    job_shape,
    joined,
    shown,
    when_ended,
)
from jobs.models import Job, JobLine
from jobs.queries import jobs_list

router = Router(tags=["jobs"], by_alias=True)
Seconds = Annotated[
    int, Field(ge=1, le=LONGEST_WAIT, description="How many seconds to wait at most.")
]
Statuses = Literal["", "open", "queued", "running", "succeeded", "failed", "cancelled"]


class JobsAnswer(Shape):
    """A page of jobs, newest first; `nextCursor` asks for the next page, null is the end."""

    success: bool = True
    jobs: list[JobShape]
    count: int
    next_cursor: str | None


class JobsWanted(Shape):
    """What the list is narrowed to."""

    status: Statuses = ""
    action: Text = ""
    host_id: Text = ""
    variant_id: Text = ""
    q: Text = Field("", description="Words of the subject or the error.")
    cursor: Text = ""
    limit: int = Field(50, ge=1, le=200)


class LineShape(Shape):
    """A line of a job's log; missing numbers were dropped from a long one."""

    number: int
    at: datetime
    text: str


class LinesAnswer(Shape):
    """Lines of a job's log, oldest first."""

    success: bool = True
    job_id: int
    lines: list[LineShape]
    last_number: int
    is_open: bool


@endpoint(router, "GET", "/jobs", response=JobsAnswer, errors=[400], summary="List jobs")
def list_jobs(request: HttpRequest, wanted: Query[JobsWanted]) -> HttpResponseBase:
    jobs = jobs_list(action=wanted.action, text=wanted.q)
    if wanted.status:
        statuses = Job.OPEN if wanted.status == "open" else [wanted.status]
        jobs = jobs.filter(status__in=statuses)
    if wanted.host_id:
        jobs = jobs.filter(host__host_id=wanted.host_id)
    if wanted.variant_id:
        name, _, host = wanted.variant_id.partition(":")
        jobs = jobs.filter(engine__name=name, engine__host__host_id=host or "local")
    if wanted.cursor:
        jobs = jobs.filter(pk__lt=_pk_of(wanted.cursor))
    jobs = jobs.select_related("engine__host").defer("engine__definition")
    rows = list(jobs[: wanted.limit + 1])
    page = rows[: wanted.limit]
    after = _cursor_of(page[-1].pk) if len(rows) > wanted.limit else None
    shapes = [job_shape(job) for job in page]
    return bytes_of(JobsAnswer(jobs=shapes, count=len(shapes), next_cursor=after))


def _cursor_of(pk: int) -> str:
    return base64.urlsafe_b64encode(f"job:{pk}".encode()).decode().rstrip("=")


def _pk_of(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    word, _, number = text.partition(":")
    if word != "job" or not number.isdecimal() or len(number) > 15:
        raise Refused(
            "CURSOR_INVALID", "Take the cursor from nextCursor of the page before.", status=400
        )
    return int(number)


@endpoint(router, "GET", "/jobs/{job_id}", response=JobAnswer, errors=[404], summary="Get a job")
def get_job(request: HttpRequest, job_id: Path[Id]) -> HttpResponseBase:
    return bytes_of(job_answer(shown(job_id)))


@endpoint(
    router,
    "GET",
    "/jobs/{job_id}/lines",
    response=LinesAnswer,
    errors=[404],
    summary="Read a job's log",
)
def job_lines(
    request: HttpRequest,
    job_id: Path[Id],
    after: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1_000,
) -> HttpResponseBase:
    return bytes_of(lines_answer(shown(job_id), after=after, limit=limit))


def lines_answer(job: Job, *, after: int = 0, limit: int | None = None) -> LinesAnswer:
    """The lines after that number, all of them without a limit."""
    rows = list(JobLine.objects.filter(job=job, number__gt=after)[:limit])
    return LinesAnswer(
        job_id=job.pk,
        lines=[LineShape(number=row.number, at=row.at, text=row.text) for row in rows],
        last_number=rows[-1].number if rows else after,
        is_open=job.is_open,
    )


@endpoint(
    router,
    "GET",
    "/jobs/{job_id}/wait",
    response=JobAnswer,
    answers={202: JobAnswer},
    errors=[404],
    summary="Wait for a job's end",
)
def wait_for_job(
    request: HttpRequest, job_id: Path[Id], timeout: Seconds = LONGEST_WAIT
) -> HttpResponseBase:
    """200 when it has ended, 202 when it goes on after `timeout` seconds."""
    job = shown(job_id)
    return when_ended(request, job, job_answer, seconds=float(timeout))


@endpoint(
    router,
    "POST",
    "/jobs/{job_id}/cancel",
    response=JobAnswer,
    role=User.Role.OPERATOR,
    errors=[404, 409],
    summary="Cancel a job",
)
def cancel_job(request: HttpRequest, job_id: Path[Id]) -> Any:
    job = services.cancel_job(shown(job_id), user=person(request))
    return bytes_of(job_answer(shown(job.pk)))


@endpoint(
    router,
    "POST",
    "/jobs/{job_id}/retry",
    response=JobAnswer,
    answers={202: JobAnswer},
    role=User.Role.OPERATOR,
    errors=[404, 409],
    summary="Do a job again",
)
def retry_job(
    request: HttpRequest, job_id: Path[Id], wait: bool = False, timeout: Seconds = LONGEST_WAIT
) -> HttpResponseBase:
    job = shown(job_id)
    again = joined(job.action, partial(services.retry_job, job, user=person(request)))
    if not wait:
        return asked_for(again)
    return when_ended(request, again, job_answer, seconds=float(timeout))
