"""Doors for the worker and the clock."""

from celery import shared_task

from engines import updates, work


@shared_task(name="engines.run_job")
def run_job(job_id: int) -> None:
    work.run(job_id)


@shared_task(name="jobs.sweep")
def sweep() -> None:
    work.sweep()


@shared_task(name="engines.check_updates")
def check_updates(*check_pks: int) -> None:
    updates.check_updates(check_pks)
