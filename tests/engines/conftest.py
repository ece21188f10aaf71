"""A real host with a real engine of nothing but the standard library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from pytest_django import Settings

from catalog.models import Variant
from engines import work
from engines.models import Engine
from engines.services import install_engine
from engines.spec import spec_of
from hosts.models import Host
from hosts.work import runner_of
from jobs.models import Job
from tests.bundled.running import free_port
from tests.engines.factories import make_host, make_variant

TINY = Path(__file__).resolve().parents[1] / "hosts" / "tiny"


@pytest.fixture(autouse=True)
def unrung(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent to a worker: the test does the job itself, when it wants."""
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "send_task", lambda *args, **options: None)


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Path:
    first = free_port()
    settings.DATA_DIR = tmp_path
    settings.ENGINE_PORT_START, settings.ENGINE_PORT_MAX = first, first
    settings.ENGINE_START_TIMEOUT = 2
    settings.ENGINE_STOP_TIMEOUT = 0.5
    return tmp_path


@pytest.fixture
def host(transactional_db: None, data_dir: Path) -> Host:
    return make_host(samples_path=str(data_dir / "samples"), models_path=str(data_dir / "models"))


@pytest.fixture
def tiny(host: Host) -> Iterator[Variant]:
    yield make_variant(folder=str(TINY))
    for engine in Engine.objects.filter(host=host):
        with runner_of(host) as runner:
            runner.stop(spec_of(engine), grace=0.2)


Do = Callable[[Any], Job]


@pytest.fixture
def do() -> Do:
    """Do a job here and now, as a worker would; the row as it ended."""

    def done(job: Job) -> Job:
        work.run(job.pk)
        job.refresh_from_db()
        return job

    return done


@pytest.fixture
def installed(tiny: Variant, host: Host, do: Do) -> Engine:
    """The tiny engine, installed and stopped."""
    job = do(install_engine(tiny, host=host, user=None))
    assert job.status == Job.Status.SUCCEEDED, job.error
    return Engine.objects.get(host=host)
