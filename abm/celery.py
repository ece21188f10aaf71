"""The Celery app: a doorbell, never the truth about a job."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun
from structlog.contextvars import bind_contextvars, clear_contextvars

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "abm.settings")
# A worker would run Django's checks at its start, and they read every view and the whole API, which
# no worker needs: 25 MiB of each.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("abm")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["abm", "engines", "catalog", "jobs", "hosts"])


@task_prerun.connect
def _name_in_log(task: Any, args: list[object], **_: Any) -> None:
    """What a task logs bears its name, and the number of its job or row."""
    clear_contextvars()
    bind_contextvars(task=task.name, **({"of": args[0]} if args else {}))


@task_postrun.connect
def _forget_name(**_: Any) -> None:
    clear_contextvars()
