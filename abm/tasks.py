"""Doors for the clock."""

from celery import shared_task

from abm import releases
from abm.backup import schedule
from abm.notify import work


@shared_task(name="abm.notify")
def notify() -> None:
    work.run()


@shared_task(name="abm.prune_notifications")
def prune_notifications() -> None:
    work.prune()


@shared_task(name="abm.backup")
def backup() -> None:
    schedule.run_if_due()


@shared_task(name="abm.ask_releases")
def ask_releases() -> None:
    releases.ask()
