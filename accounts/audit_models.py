"""Who did what to which thing: rows that are written once and never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn

from django.db import models
from django.utils import timezone


class Unchangeable(Exception):
    """Code tried to change or delete a row of the audit; there is no way to."""

    def __init__(self) -> None:
        super().__init__("Entries of the audit are never changed; only AUDIT_DAYS removes them.")


class AuditEntries(models.QuerySet["AuditEntry"]):
    """Rows to read; the one way to remove some is that they are older than AUDIT_DAYS."""

    def update(self, **values: Any) -> NoReturn:
        raise Unchangeable

    def bulk_update(self, *args: Any, **values: Any) -> NoReturn:
        raise Unchangeable

    def delete(self) -> NoReturn:
        raise Unchangeable

    def forget_before(self, moment: datetime) -> int:
        """Remove what is older than `moment`; return how many rows that were."""
        return models.QuerySet.delete(self.filter(at__lt=moment))[0]


class AuditEntry(models.Model):
    """One thing that somebody did. It names people and things in words, so it outlives them."""

    class Via(models.TextChoices):
        PAGE = "page", "A page"
        API = "api", "The API"
        COMMAND = "command", "The command line"
        ABM = "abm", "abm itself"

    at = models.DateTimeField(default=timezone.now, db_index=True)
    user_pk = models.BigIntegerField(null=True, help_text="No foreign key: nothing rewrites it.")
    username = models.CharField(max_length=150, blank=True, help_text="Empty for abm itself.")
    via = models.CharField(max_length=8, choices=Via.choices)
    address = models.CharField(max_length=64, blank=True, help_text="Where the request came from.")
    verb = models.CharField(max_length=64, db_index=True, help_text="As `engine.start`.")
    object_type = models.CharField(max_length=32)
    object_pk = models.CharField(max_length=64, blank=True)
    object_name = models.CharField(max_length=200)
    before = models.JSONField(default=dict, help_text="Only what changed; never a secret.")
    after = models.JSONField(default=dict)

    objects = AuditEntries.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.username or 'abm'}: {self.verb} {self.object_name}"

    def save(self, *args: Any, **options: Any) -> None:
        if not self._state.adding:
            raise Unchangeable
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> NoReturn:
        raise Unchangeable

    @property
    def changes(self) -> list[tuple[str, Any, Any]]:
        """What it changed, as (name, before, after); None where there was or is nothing."""
        names = dict.fromkeys([*self.before, *self.after])
        return [(name, self.before.get(name), self.after.get(name)) for name in names]
