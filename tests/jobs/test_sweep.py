"""What keeps the table honest: the dead are ended, the forgotten rung for, the old let go."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app
from django.utils import timezone
from kombu.exceptions import OperationalError
from pytest_django import Settings

from engines import recovery
from jobs.events import announce
from jobs.models import Event, Job
from jobs.services import interrupt_all, prune, submit_job, sweep
from tests.pages.factories import make_job, write_lines

pytestmark = pytest.mark.django_db(transaction=True)


def ago(seconds: float) -> object:
    return timezone.now() - timedelta(seconds=seconds)


def test_a_job_without_a_beat_ends_failed_and_says_where() -> None:
    steps = [{"key": "fetch", "title": "Fetch its packages", "started_at": "", "finished_at": None}]
    job = make_job("running", heartbeat_at=ago(60), steps=steps)

    assert sweep() == [job]

    job.refresh_from_db()
    assert job.status == Job.Status.FAILED
    assert job.error_code == "ABM_STOPPED"
    assert "during the step “Fetch its packages”" in job.error
    assert "press Retry" in job.error


def test_a_job_that_beats_is_left_alone() -> None:
    make_job("running")

    assert sweep() == []


def test_a_job_of_this_process_outlives_a_long_sleep_of_the_machine() -> None:
    job = make_job("running", heartbeat_at=ago(3_600))

    assert sweep(alive={job.pk}) == []


def test_a_clock_that_differs_from_the_database_s_ends_no_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_job("running")
    ahead = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: ahead)

    assert sweep() == []


def test_after_the_clock_was_put_back_a_dead_worker_is_still_noticed() -> None:
    job = make_job("running", heartbeat_at=ago(-3_600))

    assert sweep() == []

    job.refresh_from_db()
    assert job.heartbeat_at is not None
    assert job.heartbeat_at < timezone.now() + timedelta(seconds=1)


def test_a_ring_of_before_the_clock_was_put_back_counts_for_nothing(rung: list[int]) -> None:
    job = make_job("queued", rung_at=ago(-3_600))

    sweep()

    assert rung == [job.pk]


def test_a_job_that_nobody_took_is_rung_for_again(rung: list[int]) -> None:
    forgotten = make_job("queued", rung_at=ago(60))
    never_rung = make_job("queued", rung_at=None)
    make_job("queued", rung_at=ago(0))

    sweep()

    assert rung == [forgotten.pk, never_rung.pk]


def test_a_dead_broker_loses_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def send_task(name: str, args: list[int], **options: object) -> None:
        raise OperationalError("Connection refused")

    monkeypatch.setattr(current_app._get_current_object(), "send_task", send_task)

    job = submit_job(action="start", task="t", subject="Tiny", user=None)

    assert job.status == Job.Status.QUEUED


def test_at_a_start_all_that_ran_is_ended() -> None:
    job = make_job("running")
    waiting = make_job("queued")

    assert interrupt_all() == [job]

    job.refresh_from_db()
    waiting.refresh_from_db()
    assert (job.status, waiting.status) == (Job.Status.FAILED, Job.Status.QUEUED)


def test_old_events_and_old_jobs_are_let_go_with_their_lines() -> None:
    announce("jobs", "job.changed", text="old")
    Event.objects.update(created_at=ago(25 * 3_600))
    announce("jobs", "job.changed", text="new")
    old = make_job("failed", finished_at=ago(31 * 86_400))
    write_lines(old, 1, 2)
    kept = make_job("failed", finished_at=ago(29 * 86_400))
    running = make_job("running")

    prune()

    assert list(Event.objects.values_list("text", flat=True)) == ["new"]
    assert set(Job.objects.values_list("pk", flat=True)) == {kept.pk, running.pk}


def test_who_looks_first_after_nobody_could_ends_nobody(settings: Settings) -> None:
    """While a database is away no worker can beat, and all of them may be alive."""
    settings.IS_EMBEDDED = False
    job = make_job("running", heartbeat_at=ago(60))

    recovery.sweep()
    assert Job.objects.get(pk=job.pk).status == "running"
    recovery.sweep()
    assert Job.objects.get(pk=job.pk).status == "failed"
