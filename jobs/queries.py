"""What pages ask of the jobs table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet

from jobs.models import Event, Job, JobLine

JOBS_PER_PAGE = 50
OPEN_SHOWN = 200
LINES_SHOWN = 2_000
ENDED = (Job.Status.SUCCEEDED, Job.Status.FAILED, Job.Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that were dropped from the middle of a long log."""

    skipped: int


def running_count() -> int:
    return Job.objects.filter(status=Job.Status.RUNNING).count()


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What the list of jobs is narrowed to; it stands in the page's address."""

    status: str = ""
    """One of the states, or `open` for what waits or runs."""
    action: str = ""
    text: str = ""
    page: int = 1

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """From an address; what makes no sense is left out."""
        status, action, page = (query.get(key, "") for key in ("status", "action", "page"))
        return cls(
            status=status if status in {"open", *Job.Status.values} else "",
            action=action if action in Job.Action.values else "",
            text=query.get("q", "").strip()[:100],
            page=int(page) if page.isdecimal() and len(page) < 6 else 1,
        )

    @property
    def is_set(self) -> bool:
        return bool(self.status or self.action or self.text)

    @property
    def shows_open(self) -> bool:
        """Whether what is under way belongs on this page; it stands on the first one only."""
        return self.page == 1 and self.status in {"", "open", *Job.OPEN}

    @property
    def shows_ended(self) -> bool:
        return self.status in {"", *ENDED}

    @property
    def query(self) -> str:
        """As a part of an address, without the page."""
        values = {"status": self.status, "action": self.action, "q": self.text}
        return urlencode({key: value for key, value in values.items() if value})


def jobs_shown() -> QuerySet[Job]:
    """Jobs with what a row names; their engines' long definitions stay in the database."""
    return Job.objects.select_related("host", "user")


def jobs_list(*, action: str, text: str) -> QuerySet[Job]:
    """Jobs newest first, narrowed by an action and by words of the subject or the error."""
    jobs = jobs_shown()
    if action:
        jobs = jobs.filter(action=action)
    if text:
        jobs = jobs.filter(Q(subject__icontains=text) | Q(error__icontains=text))
    return jobs


@dataclass(frozen=True, slots=True)
class JobList:
    """What the list shows: what runs, what waits, and a page of what ended."""

    running: list[Job]
    waiting: list[Job]
    ended: Page[Job] | None

    @property
    def pks(self) -> set[int]:
        return {job.pk for job in (*self.running, *self.waiting, *(self.ended or ()))}

    @property
    def is_empty(self) -> bool:
        return not self.pks


def job_list(wanted: JobFilter) -> JobList:
    """The rows of the list; waiting ones stand in the order in which they will be taken."""
    jobs = jobs_list(action=wanted.action, text=wanted.text)
    open_jobs: list[Job] = []
    if wanted.shows_open:
        statuses = [wanted.status] if wanted.status in Job.OPEN else list(Job.OPEN)
        open_jobs = list(jobs.filter(status__in=statuses).order_by("pk")[:OPEN_SHOWN])
    page = None
    if wanted.shows_ended:
        ended = jobs.filter(status__in=[wanted.status] if wanted.status else ENDED)
        page = Paginator(ended, JOBS_PER_PAGE).get_page(wanted.page)
    return JobList(
        running=[job for job in open_jobs if job.status == Job.Status.RUNNING],
        waiting=[job for job in open_jobs if job.status == Job.Status.QUEUED],
        ended=page,
    )


def job_shown(pk: int) -> Job | None:
    """One job with all that its page names; None if it is unknown or was pruned."""
    return Job.objects.select_related("host", "engine", "user", "retry_of").filter(pk=pk).first()


def open_jobs() -> list[Job]:
    """What is under way, oldest first, at most ten."""
    return list(Job.objects.filter(status__in=Job.OPEN).order_by("pk")[:10])


@dataclass(frozen=True, slots=True)
class LogTail:
    """The end of a job's log as its page shows it."""

    lines: list[JobLine | Gap]
    last_number: int
    earlier: int
    """Lines before the first one shown."""


def log_tail(job_pk: int) -> LogTail:
    """The last lines of a job's log, gaps told."""
    newest = JobLine.objects.filter(job_id=job_pk).order_by("-number")[:LINES_SHOWN]
    lines = list(newest)[::-1]
    return LogTail(
        lines=lines_with_gaps(lines),
        last_number=lines[-1].number if lines else 0,
        earlier=lines[0].number - 1 if lines else 0,
    )


def log_text(job: Job) -> Iterator[str]:
    """The whole log as text, line by line: a header, the kept lines, a note for each gap."""
    yield f"{job}: {job.get_status_display()}\n"
    previous = 0
    for line in JobLine.objects.filter(job=job).iterator(chunk_size=2_000):
        if previous and line.number > previous + 1:
            yield f"… {line.number - previous - 1} lines skipped …\n"
        yield f"{line.at:%Y-%m-%dT%H:%M:%S}Z {line.text}\n"
        previous = line.number
    if job.error:
        yield f"\n{job.error}\n{job.error_detail}\n"


def lines_with_gaps(lines: Iterable[JobLine], *, after: int = 0) -> list[JobLine | Gap]:
    """The kept lines with a Gap wherever numbers are missing between two of them.

    `after` is the number of the line that stands before them, 0 where nobody knows.
    """
    shown: list[JobLine | Gap] = []
    previous = after
    for line in lines:
        if previous and line.number > previous + 1:
            shown.append(Gap(line.number - previous - 1))
        shown.append(line)
        previous = line.number
    return shown


def last_events(count: int = 10) -> list[Event]:
    return list(Event.objects.exclude(text="")[:count])
