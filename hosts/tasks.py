"""Doors for the worker."""

from celery import shared_task

from hosts import work


@shared_task(name="hosts.probe")
def probe(host_pk: int) -> None:
    work.probe_asked(host_pk)
