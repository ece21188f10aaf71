"""Ends of a start that nobody foresaw: no engine stays on its way for ever."""

from __future__ import annotations

import pytest

from engines.models import Engine
from engines.services import start_engine
from hosts.models import Host
from hosts.runners.base import HostUnreachable, StartFailed
from hosts.runners.fake import FakeHost, FakeRunner
from hosts.runners.registry import RUNNERS
from jobs.models import Job
from jobs.outcome import Cancelled
from tests.engines.conftest import Do
from tests.engines.factories import make_engine, make_host

pytestmark = pytest.mark.django_db(transaction=True)
AWAY = HostUnreachable("The box is away.")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost()
    monkeypatch.setitem(RUNNERS, Host.Type.DOCKER_LOCAL, lambda setup: FakeRunner(fake))
    return fake


@pytest.fixture
def engine(fake: FakeHost, data_dir: object) -> Engine:
    host = make_host(host_type=Host.Type.DOCKER_LOCAL)
    return make_engine(host=host, state=Engine.State.STOPPED)


def start(engine: Engine) -> Job:
    job = start_engine(engine, user=None)
    assert job is not None
    return job


def test_a_mistake_of_abm_fails_the_engine_with_its_job(
    engine: Engine, fake: FakeHost, do: Do
) -> None:
    fake.fails["start"] = ZeroDivisionError("a mistake")
    job = start(engine)

    with pytest.raises(ZeroDivisionError):
        do(job)

    job.refresh_from_db()
    engine.refresh_from_db()
    assert (job.status, job.error_code) == (Job.Status.FAILED, "UNEXPECTED")
    assert engine.state == Engine.State.FAILED
    assert engine.error == job.error


def test_a_host_that_goes_away_during_the_clean_up_hides_no_cause(
    engine: Engine, fake: FakeHost, do: Do
) -> None:
    fake.fails |= {"start": StartFailed("Its port is taken."), "logs": AWAY, "stop": AWAY}

    job = do(start(engine))

    engine.refresh_from_db()
    assert job.error == engine.error == "Its port is taken."
    assert engine.state == Engine.State.FAILED


def test_a_cancelled_start_on_a_host_that_went_away_is_stopped_and_cancelled(
    engine: Engine, fake: FakeHost, do: Do
) -> None:
    fake.fails |= {"start": Cancelled(), "stop": AWAY}

    job = do(start(engine))

    engine.refresh_from_db()
    assert job.status == Job.Status.CANCELLED
    assert engine.state == Engine.State.STOPPED
