"""What is kept of Try it. A recording goes with its row, whoever deletes that."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from engines.results import Quality, Segment, curl_of, quality_of, segments_of


class Trial(models.Model):
    """One use of "Try it": what was asked, what came back, how long it took."""

    engine = models.ForeignKey("engines.Engine", on_delete=models.CASCADE, related_name="trials")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    request = models.JSONField(default=dict)
    result = models.JSONField(default=dict, blank=True)
    audio = models.CharField(max_length=200, blank=True, help_text="File below DATA_DIR/trials.")
    audio_seconds = models.FloatField(null=True, blank=True)
    took_seconds = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.engine_id} {self.created_at:%H:%M:%S}"

    @property
    def path(self) -> Path | None:
        """Where its recording is; None for a result that is none."""
        return trials_folder() / self.audio if self.audio else None

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work for a second of sound; below 1 is faster than speech."""
        if not self.audio_seconds:
            return None
        return self.took_seconds / self.audio_seconds

    @property
    def title(self) -> str:
        """What was asked: the text, or the name of the recording."""
        return str(self.request.get("text") or self.request.get("name") or "")

    @property
    def transcript(self) -> str | None:
        """What was heard; None for a result that is no transcript."""
        text = self.result.get("text")
        return text.strip() if isinstance(text, str) else None

    @property
    def segments(self) -> list[Segment]:
        return segments_of(self.result)

    @property
    def quality(self) -> Quality | None:
        return quality_of(self.result)

    @property
    def curl(self) -> str:
        """The same call for a shell; empty for analyses, whose sound would not fit a line."""
        paths = {"tts": "/generate", "text": "/segment", "stt": "/transcribe"}
        path = paths.get(self.engine.engine_type)
        if path is None or not self.engine.url or self.quality is not None:
            return ""
        if self.engine.host.is_remote:
            return ""  # nothing outside abm leads there
        return curl_of(self.engine.url, path, self.request)


def trials_folder() -> Path:
    """Where the recordings lie."""
    return Path(settings.DATA_DIR) / "trials"


@receiver(post_delete, sender=Trial)
def _delete_recording(instance: Trial, **_: Any) -> None:
    # A signal, because rows also go with their engine or their person, which calls nothing else.
    if instance.path is not None:
        transaction.on_commit(partial(instance.path.unlink, missing_ok=True), robust=True)
