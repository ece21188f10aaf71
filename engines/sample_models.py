"""Recordings of speakers that engines may speak like."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower


class Sample(models.Model):
    """One recording. Its file lies in abm's own folder of samples, and on hosts that need it."""

    name = models.CharField(max_length=60)
    file = models.CharField(max_length=80, unique=True, help_text="Below DATA_DIR/samples.")
    rate = models.PositiveIntegerField(help_text="Hz.")
    channels = models.PositiveSmallIntegerField()
    seconds = models.FloatField()
    size = models.BigIntegerField(help_text="Bytes.")
    advice = models.JSONField(
        default=list, blank=True, help_text="What may sound better: sentences."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="sample_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """Where it is on this machine."""
        return own_samples() / self.file


def own_samples() -> Path:
    """abm's own folder of samples."""
    return Path(settings.DATA_DIR) / "samples"


def draft_of(file: str) -> Path:
    """What a sample's file is called while it is written: a name that no engine takes for one."""
    return own_samples() / f".{file}.part"
