"""Jobs, people and their browsers for the tests of pages."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.utils import timezone

from accounts.models import User
from jobs.models import Job, JobLine

HTMX = {"HX-Request": "true"}


def make_user(role: str = "operator", name: str = "") -> User:
    return User.objects.create_user(name or f"{role}-olga", role=role)


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make_job(status: str = "running", **values: Any) -> Job:
    """A job as its work would have left it in this state."""
    now = timezone.now()
    started = {"started_at": now, "heartbeat_at": now} if status != "queued" else {}
    ended = {"finished_at": now} if status not in Job.OPEN else {}
    defaults: dict[str, Any] = {
        "action": "install",
        "task": "engines.run_job",
        "subject": "Tiny on This machine",
        "status": status,
        **started,
        **ended,
    }
    return Job.objects.create(**{**defaults, **values})


def write_lines(job: Job, *numbers: int) -> None:
    JobLine.objects.bulk_create(
        JobLine(job=job, number=number, text=f"line {number}") for number in numbers
    )
