"""Doors for the clock."""

from celery import shared_task

from jobs import services


@shared_task(name="jobs.prune")
def prune() -> None:
    services.prune()
