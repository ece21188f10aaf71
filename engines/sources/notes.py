"""What a job found out, kept in its params for the page that goes on from there."""

from __future__ import annotations

from typing import Any

from jobs.models import Job


def note(job: Job, **values: Any) -> None:
    """Keep JSON values under these names, beside what the job was asked for with."""
    job.params = {**job.params, **values}
    Job.objects.filter(pk=job.pk).update(params=job.params)
