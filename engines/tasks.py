"""Doors for the worker and the clock."""

from celery import shared_task

from engines import host_work, left_files, recovery, storage_work, updates, variant_sizes, work


@shared_task(name="engines.run_job")
def run_job(job_id: int) -> None:
    work.run(job_id)


@shared_task(name="jobs.sweep")
def sweep() -> None:
    recovery.sweep()


@shared_task(name="engines.check_updates")
def check_updates(*check_pks: int) -> None:
    updates.check_updates(check_pks)


@shared_task(name="engines.measure_variants")
def measure_variants() -> None:
    variant_sizes.measure_due()


@shared_task(name="engines.measure_variant")
def measure_variant(variant_pk: int) -> None:
    variant_sizes.measure_wanted(variant_pk)


@shared_task(name="engines.run_host_job")
def run_host_job(job_id: int) -> None:
    host_work.run(job_id)


@shared_task(name="engines.tidy_files")
def tidy_files() -> None:
    left_files.tidy_files()


@shared_task(name="engines.read_storage")
def read_storage(host_pk: int) -> None:
    storage_work.read_storage(host_pk)
