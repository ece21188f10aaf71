"""A job while it is done: its beat, its lines, its bar, its end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

import pytest
from django.db.utils import OperationalError
from django.utils import timezone

from abm.logs import formatter
from jobs import database, work
from jobs.heart import being_done
from jobs.models import Job, JobLine
from jobs.outcome import Cancelled, WorkFailed
from jobs.queries import log_tail
from jobs.services import cancel_job, end_lost_job
from jobs.work import JobRun, running
from tests.pages.factories import make_job

pytestmark = pytest.mark.django_db(transaction=True)


def fresh(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture
def job() -> Job:
    return make_job("queued")


def test_what_went_well_is_done_at_a_hundred_percent(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        run.step("one", "First")
        run.step("two", "Second")

    ended = fresh(job)
    assert ended.status == Job.Status.SUCCEEDED
    assert ended.percent == 100
    assert [step["title"] for step in ended.steps] == ["First", "Second"]
    assert all(step["finished_at"] for step in ended.steps)
    assert [line.text for line in ended.lines.all()] == ["— First", "— Second"]


def test_what_the_world_refused_ends_with_its_sentence(job: Job) -> None:
    with running(job.pk):
        raise WorkFailed("The disk of box is full. Free some space.", detail="ENOSPC")

    ended = fresh(job)
    assert ended.status == Job.Status.FAILED
    assert ended.error == "The disk of box is full. Free some space."
    assert ended.error_detail == "ENOSPC"
    assert ended.error_code == "WORK_FAILED"


def test_the_step_that_failed_is_marked_also_when_tidying_follows(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        run.step("fetch", "Fetch")
        run.fail_step()
        run.step("tidy", "Tidy up")
        raise WorkFailed("No.")

    assert [bool(step.get("is_failed")) for step in fresh(job).steps] == [True, False]


def test_the_last_step_is_where_a_job_failed_that_says_no_more(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        run.step("one", "First")
        run.step("two", "Second")
        raise WorkFailed("No.")

    assert [bool(step.get("is_failed")) for step in fresh(job).steps] == [False, True]


def test_a_mistake_of_ours_ends_the_job_and_reaches_the_log(job: Job) -> None:
    with pytest.raises(ZeroDivisionError), running(job.pk):
        _ = 1 / 0

    ended = fresh(job)
    assert ended.status == Job.Status.FAILED
    assert ended.error_code == "UNEXPECTED"
    assert "division" not in ended.error


def test_it_beats_and_writes_while_the_work_is_silent(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        begun = timezone.now()
        run.line("told at once")

        eventually(lambda: JobLine.objects.filter(job=job, text="told at once").exists())
        eventually(lambda: (fresh(job).heartbeat_at or begun) > begun)


def test_a_wish_to_cancel_reaches_work_that_only_waits(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        cancel_job(fresh(job), user=None)
        assert run.token.wait(5), "nobody told"
        run.check()

    ended = fresh(job)
    assert ended.status == Job.Status.CANCELLED
    assert ended.error == "Cancelled."


def test_work_that_takes_longer_than_it_may_is_cancelled(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(deadline_at=timezone.now())

    with running(job.pk) as run:
        assert run
        assert run.token.wait(5)
        run.check()

    assert fresh(job).error == "It took longer than it may."


def test_the_bar_never_goes_back(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        shown = []
        for percent in (10, 40, 30, 250):
            run.progress(percent)
            run.flush()
            shown.append(fresh(job).percent)

    assert shown == [10, 40, 40, 100]


def test_bytes_are_told_with_their_rate_and_given_back_after_the_step(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        run.progress(10, done=0, total=1_000)
        run._sample = (time.monotonic() - 1, 0)
        run.progress(20, done=500, total=1_000)
        run.flush()
        while_loading = fresh(job)
        run.progress(50)
        run.flush()
        after = fresh(job)

    assert while_loading.progress_unit == "bytes"
    assert while_loading.rate == pytest.approx(500, rel=0.1)
    assert while_loading.seconds_left == pytest.approx(1, rel=0.1)
    assert after.progress_unit == "steps"
    assert after.seconds_left is None


def test_of_a_long_log_the_beginning_and_the_end_are_kept(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "FIRST_LINES", 3)
    monkeypatch.setattr(work, "LAST_LINES", 4)

    with running(job.pk) as run:
        assert run
        for number in range(1, 21):
            run.line(f"line {number}")
            run.flush()

    kept = list(JobLine.objects.filter(job=job).values_list("text", flat=True))
    assert kept == [f"line {number}" for number in (1, 2, 3, 17, 18, 19, 20)]
    assert getattr(log_tail(job.pk).lines[3], "skipped", 0) == 13


def test_a_line_is_cut_and_a_zero_byte_is_no_trouble(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        run.line("a\x00b\nsecond " + "x" * 10_000)

    first, second = JobLine.objects.filter(job=job)
    assert first.text == "ab"
    assert len(second.text) == 4_000


def test_work_that_was_taken_for_dead_stops_and_changes_nothing(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        assert end_lost_job(fresh(job))

        assert run.token.wait(5)
        with pytest.raises(Cancelled, match="lost touch"):
            run.check()
        run.progress(77)

    ended = fresh(job)
    assert ended.status == Job.Status.FAILED
    assert ended.percent == 0
    assert "abm was stopped" in ended.error


def test_this_process_knows_what_it_does(job: Job) -> None:
    with running(job.pk):
        assert job.pk in being_done()

    assert job.pk not in being_done()


def test_what_is_logged_during_a_job_bears_its_number(job: Job) -> None:
    def logged() -> dict[str, object]:
        record = logging.LogRecord("abm", logging.INFO, "f", 1, "here", None, None)
        line: dict[str, object] = json.loads(formatter("json").format(record))
        return line

    with running(job.pk):
        assert logged()["job"] == job.pk

    assert "job" not in logged()


def test_a_database_that_is_away_for_a_moment_stops_no_heart(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, failed = JobRun.flush, []

    def flush(run: JobRun) -> None:
        if not failed:
            failed.append(True)
            raise OSError("away")
        whole(run)

    with running(job.pk) as run:
        assert run
        begun = timezone.now()
        monkeypatch.setattr(JobRun, "flush", flush)
        eventually(lambda: (fresh(job).heartbeat_at or begun) > begun)

    assert failed
    assert fresh(job).status == Job.Status.SUCCEEDED


FULL = "could not extend file: No space left on device"


def test_a_job_whose_database_was_full_in_its_midst_waits_again(job: Job) -> None:
    with running(job.pk) as run:
        assert run
        raise OperationalError(FULL)

    again = fresh(job)
    assert (again.status, again.worker, again.error) == (Job.Status.QUEUED, "", "")
    assert "begins anew" in "".join(again.lines.values_list("text", flat=True))


def test_the_end_of_a_job_is_written_when_there_is_room_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOOK_SECONDS", 0.001)
    whole, failed = JobRun._end, []

    def end(run: JobRun, status: Job.Status, **how: str) -> None:
        if len(failed) < 2:
            failed.append(status)
            raise OperationalError(FULL)
        whole(run, status, **how)

    monkeypatch.setattr(JobRun, "_end", end)
    with running(job.pk):
        pass

    assert len(failed) == 2
    assert fresh(job).status == Job.Status.SUCCEEDED
