"""One of several works: the lease, and processes that say they are up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from abm.beat import Clock
from jobs.lease import give_up, hold
from jobs.models import Lease, Process
from jobs.presence import Presence, present
from tests.abm.apart import wait_until

pytestmark = pytest.mark.django_db


def test_one_holds_the_lease_and_the_other_does_not() -> None:
    assert hold("link", "first", seconds=60)
    assert not hold("link", "second", seconds=60)
    assert hold("link", "first", seconds=60)


def test_a_lease_that_ran_out_goes_to_who_asks_first() -> None:
    hold("link", "first", seconds=60)
    Lease.objects.update(expires_at=Now() - timedelta(milliseconds=1))

    assert hold("link", "second", seconds=60)
    assert not hold("link", "first", seconds=60)


def test_a_lease_that_is_given_up_is_free_at_once() -> None:
    hold("link", "first", seconds=60)
    give_up("link", "second")
    assert not hold("link", "second", seconds=60)

    give_up("link", "first")

    assert hold("link", "second", seconds=60)


def test_leases_of_two_names_are_strangers() -> None:
    assert hold("link", "first", seconds=60)
    assert hold("other", "second", seconds=60)


def test_only_the_clock_of_the_database_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    hold("link", "first", seconds=60)
    monkeypatch.setattr(timezone, "now", lambda: timezone.datetime(2099, 1, 1))  # type: ignore[attr-defined]

    assert not hold("link", "second", seconds=60)


def test_after_the_clock_was_put_back_a_lease_lasts_no_longer() -> None:
    hold("link", "first", seconds=60)
    Lease.objects.update(expires_at=Now() + timedelta(hours=1))

    assert not hold("link", "second", seconds=60)

    assert not Lease.objects.filter(expires_at__gt=Now() + timedelta(seconds=60)).exists()


def test_the_clock_rings_on_when_it_was_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    celery = Celery("test", set_as_current=False)
    celery.conf.beat_schedule = {"t": {"task": "jobs.sweep", "schedule": 5.0}}
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    monkeypatch.setattr(celery, "now", lambda: now)
    monkeypatch.setattr("abm.beat.time.time", lambda: now.timestamp())
    rung: list[datetime] = []
    clock = Clock(app=celery)
    monkeypatch.setattr(clock, "apply_entry", lambda entry, producer: rung.append(now))
    monkeypatch.setattr(Clock, "producer", None)

    def tick_at(moment: datetime) -> None:
        nonlocal now
        now = moment
        clock.tick()

    noon = now
    for minute in (0, 1, -60, -59):
        tick_at(noon + timedelta(minutes=minute))

    assert [(at - noon) // timedelta(minutes=1) for at in rung] == [1, -59]


@pytest.mark.django_db(transaction=True)
def test_a_process_says_that_it_is_up_and_goodbye(settings: Settings, tmp_path: Path) -> None:
    settings.ALIVE_FILE = str(tmp_path / "alive")
    presence = Presence(Process.Role.LINK, is_standby=True)

    presence.start()
    wait_until(lambda: present().exists(), "it is present", seconds=5)
    assert present().get().is_standby
    assert (tmp_path / "alive").exists()

    presence.tell(is_standby=False)
    wait_until(lambda: present().filter(is_standby=False).exists(), "it works", seconds=5)

    presence.end()
    assert not Process.objects.exists()


def test_a_process_that_was_killed_is_no_longer_present() -> None:
    long_ago = Now() - timedelta(seconds=21)
    Process.objects.create(
        name="1-a", role="worker", machine="box", version="1", started_at=long_ago, seen_at=long_ago
    )

    assert not present().exists()
