"""Where messages go, what they are about, and each message on its way."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from urllib.parse import urlsplit

from django.db import models
from django.utils import timezone

from accounts.secrets import SecretUnreadable, decrypted


class Kind(models.TextChoices):
    """What a target may be told of."""

    HOST_DOWN = "host_down", "A host is down, or back"
    HOST_KEY = "host_key", "A host's key changed"
    ENGINE_CRASHED = "engine_crashed", "An engine crashed"
    JOB_FAILED = "job_failed", "A job failed"
    UPDATE = "update", "An update is available"
    DISK_LOW = "disk_low", "A disk is nearly full"
    TEST = "test", "A test"


CHOSEN = [kind for kind in Kind if kind != Kind.TEST]


class NotifyTarget(models.Model):
    """Somebody or something outside that is told of chosen events."""

    class Type(models.TextChoices):
        APPRISE = "apprise", "Message"
        """Mail, ntfy, Discord and so on, by an address of Apprise."""
        WEBHOOK = "webhook", "Webhook"
        """A signed POST of JSON."""

    name = models.CharField(max_length=100, unique=True)
    type = models.CharField(max_length=8, choices=Type.choices)
    url = models.TextField(help_text="Encrypted: addresses of Apprise hold passwords.")
    secret = models.TextField(blank=True, help_text="Encrypted; signs a webhook.")
    kinds = models.JSONField(default=list, help_text="[Kind]")
    is_enabled = models.BooleanField(default=True)
    quiet_from = models.TimeField(null=True, blank=True, help_text="In TIME_ZONE.")
    quiet_until = models.TimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Of the last attempt, in words.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """Where it goes, without what is secret: `ntfy://…`, `https://hooks.example/…`."""
        try:
            parts = urlsplit(decrypted(self.url))
        except (SecretUnreadable, ValueError):
            return "unreadable"
        if self.type == self.Type.WEBHOOK:
            port = f":{parts.port}" if parts.port else ""
            return f"{parts.scheme}://{parts.hostname}{port}/…"
        return f"{parts.scheme}://…"

    @property
    def kind_words(self) -> list[str]:
        return [str(Kind(kind).label) for kind in self.kinds if kind in Kind.values]

    def speaks_at(self, moment: datetime) -> datetime:
        """`moment`, or the end of its quiet time if that is one."""
        if self.quiet_from is None or self.quiet_until is None:
            return moment
        here = timezone.localtime(moment)
        if not _is_between(here.time(), self.quiet_from, self.quiet_until):
            return moment
        end = here.replace(
            hour=self.quiet_until.hour, minute=self.quiet_until.minute, second=0, microsecond=0
        )
        return end if end > here else end + timedelta(days=1)


def _is_between(now: time, start: time, end: time) -> bool:
    if start <= end:
        return start <= now < end
    return now >= start or now < end


class Trouble(models.Model):
    """Something that is wrong, from when it was seen until it is over: one message for each.

    open -> told -> ended. `key` names it, so that seeing it again is not another one.
    """

    key = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    times = models.PositiveIntegerField(default=1, help_text="How often it was seen.")
    began_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    told_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=models.Q(ended_at=None), name="one_open_trouble"
            )
        ]

    def __str__(self) -> str:
        return self.title


class Delivery(models.Model):
    """One message to one target: waiting -> sending -> sent | waiting (again) | failed."""

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    target = models.ForeignKey(NotifyTarget, on_delete=models.CASCADE, related_name="deliveries")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    key = models.CharField(max_length=200, blank=True)
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    is_over = models.BooleanField(default=False, help_text="It tells that a trouble has ended.")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now, db_index=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.title} to {self.target_id}"


class Watermark(models.Model):
    """Up to which event messages were thought of; there is one row."""

    name = models.CharField(max_length=16, primary_key=True)
    event_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.event_id}"
