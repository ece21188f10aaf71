"""Doors for the worker and the clock."""

from celery import shared_task

from catalog import work


@shared_task(name="catalog.run_job")
def run_job(job_id: int) -> None:
    work.run(job_id)


@shared_task(name="catalog.sync_due")
def sync_due() -> None:
    work.sync_due()
