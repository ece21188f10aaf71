"""What is being done, what was done, and what changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from jobs.transfer import TransferShown


class Job(models.Model):
    """One piece of work on a host or an engine. The row is the truth, the queue only a doorbell.

    queued -> running -> succeeded | failed | cancelled; queued -> cancelled.
    """

    class Action(models.TextChoices):
        INSTALL = "install", "Install"
        UNINSTALL = "uninstall", "Uninstall"
        START = "start", "Start"
        STOP = "stop", "Stop"
        RESTART = "restart", "Restart"
        LOAD = "load", "Load a model"
        DISCOVER = "discover", "Discover models"
        TEST = "test", "Test"
        UPDATE = "update", "Update"
        ROLLBACK = "rollback", "Roll back"
        RECLAIM = "reclaim", "Give back disk space of"
        ADOPT = "adopt", "Adopt"
        REMOVE = "remove", "Remove"
        DELETE = "delete", "Delete"
        BUILD = "build", "Build"
        PUSH = "push", "Push"
        LOAD_IMAGE = "load_image", "Load images"
        SAVE = "save", "Save"
        COPY = "copy", "Copy"
        EXAMINE = "examine", "Examine"
        SYNC = "sync", "Sync the catalog"
        SAMPLES = "samples", "Bring samples to"
        FOLDER = "folder", "Make a folder on"

    class Status(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    OPEN = (Status.QUEUED, Status.RUNNING)
    OF_IMAGES = (
        Action.BUILD,
        Action.PUSH,
        Action.LOAD_IMAGE,
        Action.SAVE,
        Action.COPY,
        Action.EXAMINE,
    )
    HEAVY = (Action.INSTALL, Action.UPDATE, *OF_IMAGES)
    WITHOUT_ENGINE = (
        Action.RECLAIM,
        Action.ADOPT,
        Action.REMOVE,
        Action.DELETE,
        Action.SYNC,
        Action.SAMPLES,
        Action.FOLDER,
        *OF_IMAGES,
    )

    action = models.CharField(max_length=16, choices=Action.choices)
    task = models.CharField(max_length=100, help_text="The Celery task that does this action.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    host = models.ForeignKey(
        "hosts.Host", null=True, blank=True, on_delete=models.CASCADE, related_name="jobs"
    )
    engine = models.ForeignKey(
        "engines.Engine", null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    registry = models.CharField(
        max_length=255, blank=True, help_text="Where it pulls from; a registry's pulls queue."
    )
    subject = models.CharField(max_length=200, help_text="What it is done to, in words.")
    params = models.JSONField(default=dict, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    retry_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL)

    steps = models.JSONField(
        default=list,
        blank=True,
        help_text="[{key, title, started_at, finished_at, is_failed}], UTC ISO.",
    )
    progress_done = models.BigIntegerField(default=0, help_text="Bytes, or steps without bytes.")
    progress_total = models.BigIntegerField(null=True, blank=True)
    progress_unit = models.CharField(max_length=8, default="steps")
    percent = models.FloatField(default=0, help_text="0 to 100; never goes back.")
    rate = models.FloatField(null=True, blank=True, help_text="Bytes a second.")
    transfer = models.JSONField(
        default=dict, blank=True, help_text="More of a download; see jobs/transfer.py."
    )
    waiting_for = models.CharField(max_length=200, blank=True)

    error_code = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True, help_text="One sentence with the way out.")
    error_detail = models.TextField(blank=True, help_text="The raw text, folded out on demand.")

    rung_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=64, blank=True)
    child_pid = models.IntegerField(null=True, blank=True)
    child_created = models.FloatField(null=True, blank=True, help_text="Epoch seconds (psutil).")

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["engine"],
                condition=Q(status__in=["queued", "running"]),
                name="one_open_job_per_engine",
            )
        ]
        indexes = [models.Index(fields=["status", "heartbeat_at"], name="job_status_heartbeat")]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.subject}"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    def has_params(self, wanted: Mapping[str, Any]) -> bool:
        """Whether these are among what it was asked for with."""
        stored = json.loads(json.dumps(dict(wanted)))  # a tuple comes back as a list
        return all(self.params.get(name) == value for name, value in stored.items())

    @property
    def is_cancelling(self) -> bool:
        return self.is_open and self.cancel_requested_at is not None

    @property
    def can_be_retried(self) -> bool:
        """Whether Retry makes sense: it did not succeed, and what it was for is still there."""
        if self.is_open or self.status == self.Status.SUCCEEDED:
            return False
        return self.engine_id is not None or self.action in self.WITHOUT_ENGINE

    @property
    def waits_while_away(self) -> bool:
        """Whether it waits for a host that is away: as who asked for it chose, else as the host's
        way says.
        """
        choice = self.params.get("when_away")
        if self.host is None or not self.host.is_remote:
            return False
        return choice == "wait" if choice else self.host.lets_work_wait

    @property
    def elapsed(self) -> timedelta:
        """Time from start to end, or to now while it runs; zero while it waits."""
        if self.started_at is None:
            return timedelta()
        # Less than nothing where a clock was put back meanwhile.
        return max(timedelta(), (self.finished_at or timezone.now()) - self.started_at)

    @property
    def step_title(self) -> str:
        return self.steps[-1]["title"] if self.steps else ""

    @property
    def moved(self) -> TransferShown:
        """More of a download than its bytes."""
        return TransferShown(self.transfer)

    @property
    def seconds_left(self) -> float | None:
        """An estimate, its own or from the rate in force; None when there is none worth telling."""
        if self.transfer:
            return self.moved.seconds_left
        if not self.rate or self.progress_total is None or self.progress_unit != "bytes":
            return None
        return max(0.0, (self.progress_total - self.progress_done) / self.rate)


class JobLine(models.Model):
    """One line of a job's log. Numbers are kept when lines are dropped, so gaps can be told."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)
    text = models.TextField()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="job_line_number"),
        ]

    def __str__(self) -> str:
        return self.text


class Event(models.Model):
    """Something that changed, written in the transaction that changed it; kept for a day.

    Ids rise in commit order, so `max(id)` is the version of everything a list shows.
    """

    topic = models.CharField(max_length=64)
    name = models.CharField(max_length=64)
    ids: models.JSONField[Any, Any] = models.JSONField(default=dict)
    text = models.CharField(max_length=300, blank=True, help_text="For people; empty = unlisted.")
    origin = models.CharField(max_length=64, help_text="The process that already announced it.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.topic} {self.name}"


class Process(models.Model):
    """A process of abm that is up: it says so every few seconds, by the database's clock."""

    class Role(models.TextChoices):
        WEB = "web", "Web"
        WORKER = "worker", "Worker"
        LINK = "link", "Link"

    name = models.CharField(max_length=64, unique=True, help_text="As `Job.worker` names it.")
    role = models.CharField(max_length=8, choices=Role.choices)
    machine = models.CharField(max_length=255, help_text="The name of its machine or container.")
    version = models.CharField(max_length=32)
    is_standby = models.BooleanField(default=False, help_text="A link that waits for its turn.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["role", "started_at"]
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return f"{self.get_role_display()} on {self.machine}"


class Lease(models.Model):
    """Who does what only one process may do, and until when, by the database's clock."""

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=64, help_text="The name of a `Process`.")
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
