"""What every page shows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from jobs.queries import running_count


def running(request: HttpRequest) -> dict[str, Any]:
    """The number of running jobs for the ring, asked for only where a template draws it."""
    return {"running_jobs": SimpleLazyObject(running_count)}
