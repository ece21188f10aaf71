"""Doors for the worker."""

from celery import shared_task

from hosts import registry_check, remote, remote_work, work


@shared_task(name="hosts.probe")
def probe(host_pk: int) -> None:
    work.probe_asked(host_pk)


@shared_task(name="hosts.check_remote")
def check_remote(access_pk: int) -> None:
    remote_work.check_asked(access_pk)


@shared_task(name="hosts.check_login")
def check_login(login_pk: int) -> None:
    registry_check.check_stored(login_pk)


@shared_task(name="hosts.forget_unfinished")
def forget_unfinished() -> None:
    remote.forget_unfinished()
