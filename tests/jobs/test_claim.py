"""Who gets a job, and who has to wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import close_old_connections, connection
from pytest_django import Settings

from accounts.refused import Refused
from jobs.claim import claim
from jobs.models import Job
from jobs.services import cancel_job, retry_job, submit_job
from jobs.when_away import choosing
from jobs.work import running
from tests.engines.factories import make_away, make_engine, make_host
from tests.pages.factories import make_job

pytestmark = pytest.mark.django_db(transaction=True)


def claim_apart(pk: int) -> bool:
    try:
        return claim(pk) is not None
    finally:
        connection.close()


def test_of_many_workers_that_were_rung_one_gets_the_job() -> None:
    job = make_job("queued")

    with ThreadPoolExecutor(8) as workers:
        taken = list(workers.map(claim_apart, [job.pk] * 8))

    close_old_connections()
    assert sorted(taken) == [False] * 7 + [True]
    job.refresh_from_db()
    assert job.status == Job.Status.RUNNING
    assert job.started_at is not None
    assert job.heartbeat_at is not None


@pytest.mark.parametrize("status", ["running", "succeeded", "failed", "cancelled"])
def test_what_is_not_waiting_is_nobodys(status: str) -> None:
    assert claim(make_job(status).pk) is None


def test_a_job_that_was_never_there_is_nobodys() -> None:
    assert claim(999_999) is None


def test_installs_wait_their_turn_on_a_host_and_say_for_what(settings: Settings) -> None:
    settings.JOBS_PER_HOST = 2
    host = make_host()
    first, second, third = (make_job("queued", host=host) for _ in range(3))

    assert claim(first.pk)
    assert claim(second.pk)
    assert claim(third.pk) is None

    third.refresh_from_db()
    assert third.waiting_for == "2 other installs on this host"


def test_of_many_that_are_taken_at_once_no_more_than_may(settings: Settings) -> None:
    settings.JOBS_PER_HOST = 2
    host = make_host()
    asked = [make_job("queued", host=host).pk for _ in range(6)]

    with ThreadPoolExecutor(6) as workers:
        taken = list(workers.map(claim_apart, asked))

    close_old_connections()
    assert sum(taken) == 2


def test_another_host_and_another_verb_do_not_wait(settings: Settings) -> None:
    settings.JOBS_PER_HOST = 1
    host = make_host()
    assert claim(make_job("queued", host=host).pk)

    assert claim(make_job("queued", host=make_host()).pk)
    assert claim(make_job("queued", host=host, action="start").pk)


def test_installs_leave_a_worker_room_for_starts_and_stops(settings: Settings) -> None:
    settings.WORKER_THREADS = 4
    first, second, third = (make_job("queued", host=make_host()) for _ in range(3))
    assert claim(first.pk)
    assert claim(second.pk)

    assert claim(third.pk) is None
    assert claim(make_job("queued", host=make_host(), action="stop").pk)

    third.refresh_from_db()
    assert third.waiting_for == "other installs of this worker"
    # Those of another worker take no room here.
    Job.objects.filter(pk=first.pk).update(worker="another")
    assert claim(third.pk)


def test_an_install_that_ends_wakes_one_that_waits_for_its_worker(
    settings: Settings, rung: list[int]
) -> None:
    settings.WORKER_THREADS = 3
    first, second = (make_job("queued", host=make_host()) for _ in range(2))

    with running(first.pk) as run:
        assert run
        assert claim(second.pk) is None

    assert rung == [second.pk]


def test_pulls_from_a_registry_wait_over_all_hosts(settings: Settings, rung: list[int]) -> None:
    settings.JOBS_PER_REGISTRY = 1
    first, second = (make_job("queued", host=make_host(), registry="ghcr.io") for _ in range(2))
    elsewhere = make_job("queued", host=make_host(), registry="docker.io")

    with running(first.pk) as run:
        assert run
        assert claim(second.pk) is None
        assert claim(elsewhere.pk)

    second.refresh_from_db()
    assert second.waiting_for == "1 other pull from ghcr.io"
    assert second.pk in rung


def test_an_install_that_ends_wakes_the_oldest_that_waits(
    settings: Settings, rung: list[int]
) -> None:
    settings.JOBS_PER_HOST = 1
    host = make_host()
    first, second, third = (make_job("queued", host=host) for _ in range(3))

    with running(first.pk):
        pass

    assert rung[:1] == [second.pk]
    assert third.pk not in rung


def test_an_engine_has_one_open_job(rung: list[int]) -> None:
    engine = make_engine()
    job = submit_job(action="start", task="t", subject="Tiny", user=None, engine=engine)

    with pytest.raises(Refused, match="Start Tiny is still under way") as refused:
        submit_job(action="stop", task="t", subject="Tiny", user=None, engine=engine)

    assert refused.value.params["job"] == job.pk
    assert rung == [job.pk]


def test_a_job_that_was_cancelled_while_it_waited_is_never_done(rung: list[int]) -> None:
    job = make_job("queued")
    cancel_job(job, user=None)

    with running(job.pk) as run:
        assert run is None


def test_a_job_for_a_host_that_is_away_waits_and_says_for_what() -> None:
    job = make_job("queued", action="start", host=make_away())

    assert claim(job.pk) is None
    job.refresh_from_db()
    assert job.waiting_for == f"{job.host}, which is not reachable"


def test_where_an_admin_chose_that_jobs_do_not_wait_it_is_taken_and_may_fail() -> None:
    job = make_job("queued", action="start", host=make_away(waits_while_away=False))

    assert claim(job.pk)


@pytest.mark.parametrize(("choice", "is_taken"), [("wait", False), ("fail", True)])
def test_a_job_of_which_somebody_chose_does_so_whatever_the_host_says(
    choice: str, is_taken: bool
) -> None:
    host = make_away(waits_while_away=is_taken)
    with choosing(choice):
        job = submit_job(
            action="stop", task="engines.run_job", subject="Tiny", user=None, host=host
        )

    assert (claim(job.pk) is not None) == is_taken


def test_the_choice_holds_for_a_retry_and_for_nothing_else() -> None:
    host = make_away(waits_while_away=False)
    job = make_job("failed", action="samples", host=host, params={"when_away": "wait"})

    again = retry_job(job, user=None)
    other = submit_job(action="stop", task="engines.run_job", subject="Tiny", user=None, host=host)

    assert (again.waits_while_away, other.waits_while_away) == (True, False)


def test_another_word_is_refused() -> None:
    with pytest.raises(Refused, match="Choose wait or fail"), choosing("later"):
        pass


def test_what_succeeded_is_not_done_again_by_retry() -> None:
    """It may have deleted something that is there again."""
    job = make_job("succeeded", action="delete")

    with pytest.raises(Refused) as refused:
        retry_job(job, user=None)

    assert refused.value.code == "JOB_SUCCEEDED"
    assert Job.objects.count() == 1
