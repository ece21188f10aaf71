"""The Celery app: a doorbell, never the truth about a job."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "abm.settings")

app = Celery("abm")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["engines", "catalog", "jobs", "hosts"])
