"""What every test of a page needs: names of static files as they are, nothing sent to a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import current_app
from pytest_django import Settings


@pytest.fixture(autouse=True)
def plain_static_files(settings: Settings) -> None:
    plain = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": plain}}


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, list[int]]]]:
    """What would have been sent to the broker: (task, arguments)."""
    sent: list[tuple[str, list[int]]] = []

    def send_task(name: str, args: list[int], **options: object) -> None:
        sent.append((name, args))

    monkeypatch.setattr(current_app._get_current_object(), "send_task", send_task)
    yield sent
