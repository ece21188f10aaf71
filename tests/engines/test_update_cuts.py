"""A database that is cut off in the midst of an update or a roll-back costs neither.

On PostgreSQL the connection is really ended; on SQLite the disk is said to be full.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count, cycle
from threading import Thread
from typing import Any

import pytest
from django.db import OperationalError, connection

from engines import updates, work
from engines.models import Engine
from jobs import database
from jobs.heart import interrupt_running
from jobs.models import Job
from tests.engines.conftest import Do
from tests.engines.test_updates import Fleet, fake, fleet, number, started, step_keys
from tests.hosts.waiting import until

__all__ = ["fake", "fleet"]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.engine,
    pytest.mark.faults,
]
S = Engine.State
WRITES = ("INSERT", "UPDATE", "DELETE")
ASKS = (*WRITES, "SELECT")
FULL = "database or disk is full"
MOST_TRIES = 5


class Cut:
    """Cuts this thread's database off at its n-th statement, before or after it is done; once."""

    def __init__(self, at: int, *, is_late: bool) -> None:
        self.at, self.is_late, self.asked = at, is_late, 0

    @property
    def is_done(self) -> bool:
        return self.asked >= self.at

    def wrapped(self) -> AbstractContextManager[None]:
        return connection.execute_wrapper(self)

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        # After a question it is the same as before the next one.
        if not sql.startswith(WRITES if self.is_late else ASKS) or self.is_done:
            return execute(sql, params, many, context)
        self.asked += 1
        if not self.is_done:
            return execute(sql, params, many, context)
        if self.is_late:
            execute(sql, params, many, context)
        if connection.vendor == "postgresql":
            cut_off()
            return execute("SELECT 1", (), False, context)
        raise OperationalError(FULL)


def cut_off() -> None:
    """End this thread's connection by another one, as a failing-over proxy does."""
    assert connection.connection is not None
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid]
        )
    other.close()


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[[Cut], None]:
    """Have the work, not the taking of a job, meet this cut."""
    monkeypatch.setattr(database, "LOOK_SECONDS", 0.001)

    def meet(cut: Cut) -> None:
        verbs = {Job.Action.UPDATE: work.update, Job.Action.ROLLBACK: work.roll_back}
        for action, verb in verbs.items():

            def cut_in(*args: Any, verb: Any = verb) -> None:
                with cut.wrapped():
                    verb(*args)

            monkeypatch.setitem(work.VERBS, action, cut_in)

    return meet


def done_in_the_end(job: Job, do: Do) -> Job:
    """Do it as often as it waits again."""
    for _ in range(MOST_TRIES):
        if do(job).status != Job.Status.QUEUED:
            return job
    raise AssertionError("it waits for ever")


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_wherever_it_is_cut_an_update_and_a_rollback_end_well(
    fleet: Fleet, do: Do, cut: Callable[[Cut], None], is_late: bool
) -> None:
    started(fleet, do, model="two")
    digits = cycle("232")
    was = "1"
    for at in count(1):
        digit = next(each for each in digits if each != was)
        fleet.offer(digit)
        first, second = Cut(at, is_late=is_late), Cut(at, is_late=is_late)

        cut(first)
        job = done_in_the_end(fleet.update(), do)

        assert job.status == Job.Status.SUCCEEDED, (at, job.error)
        engine = fleet.fresh()
        assert (engine.state, engine.loaded_model, fleet.runs()) == (S.RUNNING, "two", digit), at
        assert (engine.image_id, engine.previous_image_id) == (number(digit), number(was)), at
        assert engine.test_passed, at

        cut(second)
        job = done_in_the_end(updates.roll_back_engine(engine, user=None), do)

        assert job.status == Job.Status.SUCCEEDED, (at, job.error)
        engine = fleet.fresh()
        assert (engine.state, engine.loaded_model, fleet.runs()) == (S.RUNNING, "two", was), at
        assert (engine.image_id, engine.previous_image_id) == (number(was), ""), at
        assert engine.skipped_digest == number(digit), at
        if not first.is_done and not second.is_done:
            break
    assert at > 10


def test_a_worker_that_ends_in_mid_update_hands_on_an_engine_that_runs_afterwards(
    fleet: Fleet, do: Do
) -> None:
    started(fleet, do, model="two")
    fleet.fake.urls[number("2")] = "http://127.0.0.1:9"  # nobody answers there
    job = fleet.update()
    worker = Thread(target=do, args=(job,))
    worker.start()
    until(lambda: "answer" in step_keys(Job.objects.get(pk=job.pk)))

    assert interrupt_running("This worker ends.", hands_on=True) == 1
    worker.join(10)
    assert fleet.fresh().image_id == number("1")

    fleet.fake.urls[number("2")] = fleet.new.url
    assert done_in_the_end(job, do).status == Job.Status.SUCCEEDED, job.error
    assert (fleet.fresh().state, fleet.runs()) == (S.RUNNING, "2")
    assert fleet.fresh().loaded_model == "two"
