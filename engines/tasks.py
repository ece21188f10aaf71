"""Doors for the worker and the clock."""

from celery import shared_task

from engines import work


@shared_task(name="engines.run_job")
def run_job(job_id: int) -> None:
    work.run(job_id)


@shared_task(name="jobs.sweep")
def sweep() -> None:
    work.sweep()
