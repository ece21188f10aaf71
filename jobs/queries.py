"""What pages ask of the jobs table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from jobs.models import Event, Job, JobLine


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that were dropped from the middle of a long log."""

    skipped: int


def running_count() -> int:
    return Job.objects.filter(status=Job.Status.RUNNING).count()


def jobs_list(*, status: str = "", action: str = "", text: str = "") -> QuerySet[Job]:
    """Jobs newest first, narrowed by a status (or `open`), an action, words of the subject."""
    jobs = Job.objects.select_related("host", "engine", "user")
    if status == "open":
        jobs = jobs.filter(status__in=Job.OPEN)
    elif status:
        jobs = jobs.filter(status=status)
    if action:
        jobs = jobs.filter(action=action)
    if text:
        jobs = jobs.filter(Q(subject__icontains=text) | Q(error__icontains=text))
    return jobs


def lines_with_gaps(lines: Iterable[JobLine]) -> list[JobLine | Gap]:
    """The kept lines with a Gap wherever numbers are missing between two of them."""
    shown: list[JobLine | Gap] = []
    previous = 0
    for line in lines:
        if previous and line.number > previous + 1:
            shown.append(Gap(line.number - previous - 1))
        shown.append(line)
        previous = line.number
    return shown


def last_events(count: int = 10) -> list[Event]:
    return list(Event.objects.exclude(text="")[:count])
