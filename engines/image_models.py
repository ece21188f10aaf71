"""What registries said of the images that engines run."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from hosts.deployment import deployment_id
from hosts.oci.checker import Answer, Failure
from hosts.oci.digests import RemoteImage
from hosts.oci.manifests import Child
from hosts.oci.platforms import Platform

ASKING_SECONDS = 180
"""A question that is older was lost with whoever asked it."""
SPREAD = 0.1
"""Up to this share is added to the time between two checks, so that images come one by one."""


class ImageCheck(models.Model):
    """The last good answer about one image, and the failure since then; one for a whole fleet."""

    reference = models.CharField(max_length=400, unique=True, help_text="Its whole name and tag.")
    remote = models.JSONField(default=dict, blank=True, help_text="RemoteImage; empty for none.")
    etag = models.CharField(max_length=300, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True, help_text="Of the last good answer.")
    failure = models.JSONField(default=dict, blank=True, help_text="Failure; empty for none.")
    asked_at = models.DateTimeField(null=True, blank=True, help_text="Set while it is asked.")

    class Meta:
        ordering = ["reference"]

    def __str__(self) -> str:
        return self.reference

    @property
    def is_being_asked(self) -> bool:
        return self.asked_at is not None and self.asked_at > asking_since()

    @property
    def answer(self) -> Answer:
        """As the checker takes it."""
        return Answer(
            _remote(self.remote) if self.remote else None,
            self.etag,
            self.checked_at,
            _failure(self.failure) if self.failure else None,
        )

    def keep(self, answer: Answer) -> None:
        """Write an answer down; it is no longer being asked for."""
        self.remote = _remote_row(answer.remote) if answer.remote else {}
        self.etag, self.checked_at = answer.etag, answer.checked_at
        self.failure = _failure_row(answer.failure) if answer.failure else {}
        self.asked_at = None
        self.save()

    @property
    def due_at(self) -> datetime | None:
        """When the clock asks again; None for at once."""
        failure = self.answer.failure
        if failure is not None:
            return failure.retry_at
        if self.checked_at is None:
            return None
        # The same image is spread alike each time, and differently in another abm.
        share = zlib.crc32(f"{deployment_id()} {self.reference}".encode()) / 2**32
        hours: float = settings.UPDATE_CHECK_HOURS * (1 + SPREAD * share)
        return self.checked_at + timedelta(hours=hours)


def asking_since() -> datetime:
    """Whoever began to ask before this has been lost."""
    return timezone.now() - timedelta(seconds=ASKING_SECONDS)


def _remote_row(remote: RemoteImage) -> dict[str, Any]:
    children = remote.children
    return {
        "digest": remote.digest,
        "is_index": remote.is_index,
        "config_digest": remote.config_digest,
        "children": None
        if children is None
        else [[child.digest, str(child.platform or "")] for child in children],
    }


def _remote(row: dict[str, Any]) -> RemoteImage:
    children = row["children"]
    return RemoteImage(
        row["digest"],
        is_index=row["is_index"],
        children=None
        if children is None
        else tuple(
            Child(digest, Platform.parse(platform) if platform else None)
            for digest, platform in children
        ),
        config_digest=row["config_digest"],
    )


def _failure_row(failure: Failure) -> dict[str, Any]:
    times = {"at": failure.at.isoformat(), "retry_at": failure.retry_at.isoformat()}
    return {**asdict(failure), **times}


def _failure(row: dict[str, Any]) -> Failure:
    at, retry_at = parse_datetime(row["at"]), parse_datetime(row["retry_at"])
    assert at is not None and retry_at is not None
    return Failure(**{**row, "at": at, "retry_at": retry_at})
