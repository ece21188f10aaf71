"""What the clock rings, and how often; times in seconds."""

from __future__ import annotations

from typing import Any


def clock(*, sweep_seconds: float, measures: bool, backs_up: bool) -> dict[str, dict[str, Any]]:
    """Celery's beat schedule: each task by its name."""
    every: dict[str, float] = {
        "jobs.sweep": sweep_seconds,
        "jobs.prune": 3600.0,
        "abm.ask_releases": 3600.0,
        "abm.notify": 10.0,
        "abm.prune_notifications": 3600.0,
        "engines.check_updates": 60.0,
        "catalog.sync_due": 60.0,
        "engines.tidy_files": 3600.0,
        "hosts.forget_unfinished": 3600.0,
    }
    if measures:
        every["engines.measure_variants"] = 60.0
    if backs_up:
        every["abm.backup"] = 300.0
    return {task: {"task": task, "schedule": seconds} for task, seconds in every.items()}
