"""Engines that nobody uses are stopped, and never one that is being used."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.utils import timezone
from pytest_django import Settings

from engines.idle import begin_use, end_use, stop_idle
from engines.models import Engine
from jobs.models import Event, Job
from tests.engines.factories import make_engine, make_host

pytestmark = pytest.mark.django_db

S = Engine.State


@pytest.fixture(autouse=True)
def unrung(monkeypatch: pytest.MonkeyPatch) -> None:
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "send_task", lambda *args, **options: None)


@pytest.fixture(autouse=True)
def five_minutes(settings: Settings) -> None:
    settings.ENGINE_IDLE_MINUTES = 5


def running(minutes_ago: float = 60, **values: Any) -> Engine:
    """One that has run for so long; nothing answers at its address, so it cannot say a word."""
    since = timezone.now() - timedelta(minutes=minutes_ago)
    defaults = {"state": S.RUNNING, "state_at": since, "url": "http://127.0.0.1:9"}
    return make_engine(host=make_host(), **{**defaults, **values})


def ago(minutes: float) -> Any:
    return timezone.now() - timedelta(minutes=minutes)


def test_one_that_was_long_unused_is_stopped_and_it_is_told() -> None:
    engine = running(minutes_ago=6)

    assert stop_idle() == [engine]

    assert Job.objects.get(engine=engine).action == Job.Action.STOP
    assert Event.objects.filter(text=f"{engine} is stopped: unused for 5 min").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"minutes_ago": 4},
        {"used_at": ago(1)},
        {"keep_running": True},
        {"idle_minutes": 0},
        {"idle_minutes": 90},
        {"attached_url": "http://127.0.0.1:9"},
        {"busy_until": ago(-1)},
        {"state": S.LOADING},
    ],
    ids=lambda values: " ".join(values),
)
def test_others_go_on(values: dict[str, Any]) -> None:
    running(**values)

    assert stop_idle() == []
    assert not Job.objects.exists()


def test_its_own_time_counts_before_the_settings() -> None:
    engine = running(minutes_ago=3, idle_minutes=2)

    assert stop_idle() == [engine]


def test_one_with_work_under_way_goes_on() -> None:
    engine = running()
    Job.objects.create(action="test", task="t", subject="x", engine=engine, status="running")

    assert stop_idle() == []


def test_a_request_keeps_it_busy_until_it_ends_and_its_time_begins_then() -> None:
    engine = running()
    until = begin_use(engine)
    assert stop_idle() == []

    end_use(engine, until)

    engine.refresh_from_db()
    assert engine.busy_until is None
    assert engine.used_at is not None
    assert stop_idle() == []


def test_of_two_requests_the_first_to_end_does_not_end_the_other() -> None:
    engine = running()
    first = begin_use(engine)
    second = begin_use(engine)

    end_use(engine, first)

    engine.refresh_from_db()
    assert engine.busy_until == second


def test_a_killed_abm_leaves_no_engine_busy_for_ever() -> None:
    engine = running()
    begin_use(engine)
    Engine.objects.filter(pk=engine.pk).update(busy_until=ago(6))

    assert stop_idle() == [engine]


def test_the_page_can_tell_when_it_will_be_stopped() -> None:
    engine = running(minutes_ago=1)

    assert engine.stops_at == engine.state_at + timedelta(minutes=5)
    assert running(keep_running=True).stops_at is None
