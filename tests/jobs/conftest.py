"""Jobs without engines: what is rung is noted, beats are quick."""

from __future__ import annotations

import pytest
from celery import current_app
from pytest_django import Settings


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The jobs that a worker was rung for."""
    jobs: list[int] = []

    def send_task(name: str, args: list[int], **options: object) -> None:
        jobs.extend(args)

    monkeypatch.setattr(current_app._get_current_object(), "send_task", send_task)
    return jobs


@pytest.fixture(autouse=True)
def quick_beats(settings: Settings) -> None:
    settings.JOB_HEARTBEAT_SECONDS = 0.05
    settings.JOB_LOST_SECONDS = 2.0
