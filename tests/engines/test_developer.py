"""For an engine's developer: in place, restart on save, the traceback, attached by URL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pytest_django import Settings

from accounts.models import User
from accounts.refused import Refused
from catalog.models import CatalogEntry
from catalog.services import ensure_sources
from engines import preferences, services
from engines.attach import attach_engine, detach_engine
from engines.links.processes import ProcessLink
from engines.models import Engine
from engines.spec import spec_of
from hosts.models import Host
from hosts.work import runner_of
from jobs.models import Job
from tests.bundled.running import free_port
from tests.engines.conftest import TINY, Do

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    """The tiny engine as a developer has it, below ENGINES_DIR."""
    settings.ENGINES_DIR = tmp_path / "mine"
    made = settings.ENGINES_DIR / "tts" / "tiny"
    shutil.copytree(TINY, made)
    return made


@pytest.fixture
def mine(folder: Path, host: Host, do: Do) -> Iterator[Engine]:
    """That engine, offered by the source `local` and installed in place."""
    ensure_sources()
    entry = CatalogEntry.objects.get(source__name="local", name="tiny")
    job = do(services.install_engine(entry.variants.get(), host=host, user=None))
    assert job.status == Job.Status.SUCCEEDED, job.error
    engine = Engine.objects.select_related("host").get(name="tiny")
    yield engine
    with runner_of(host) as runner:
        runner.stop(spec_of(engine), grace=0.2)


def start(engine: Engine, do: Do) -> Job:
    job = services.start_engine(Engine.objects.get(pk=engine.pk), user=None)
    assert job is not None
    return do(job)


def test_it_runs_in_its_own_folder(mine: Engine, folder: Path, do: Do) -> None:
    assert start(mine, do).status == Job.Status.SUCCEEDED

    with runner_of(mine.host) as runner:
        pid = runner.status(spec_of(mine)).pid
    assert Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()


def test_a_changed_file_is_noticed_and_settings_are_kept(
    mine: Engine, folder: Path, do: Do
) -> None:
    preferences.set_parameters(mine, values={"speed": 1.5}, user=None)
    definition = (folder / "engine.yaml").read_text()
    (folder / "engine.yaml").write_text(definition.replace("max: 2.0", "max: 3.0"))
    ensure_sources()

    start(mine, do)

    seen = Engine.objects.get(pk=mine.pk)
    assert seen.definition["parameters"]["speed"]["max"] == 3.0
    assert seen.parameters == {"speed": 1.5}


def test_saving_a_file_restarts_it_and_a_fault_shows_its_traceback(
    mine: Engine, folder: Path, do: Do
) -> None:
    start(mine, do)
    preferences.set_restarts_on_change(Engine.objects.get(pk=mine.pk), restarts=True, user=None)
    engine = Engine.objects.select_related("host").get(pk=mine.pk)
    link = ProcessLink(engine.host)
    link._restart_if_saved(engine)

    server = folder / "server.py"
    server.write_text("this is no Python\n")
    os.utime(server, (time.time() + 5, time.time() + 5))
    link._restart_if_saved(engine)

    job = Job.objects.get(engine=engine, status=Job.Status.QUEUED)
    assert job.action == Job.Action.RESTART
    do(job)
    seen = Engine.objects.get(pk=engine.pk)
    assert seen.state == Engine.State.FAILED
    assert "SyntaxError" in seen.error_detail


def test_only_an_engine_in_place_restarts_on_save(installed: Engine) -> None:
    with pytest.raises(Refused, match="runs from a copy"):
        preferences.set_restarts_on_change(installed, restarts=True, user=None)


@pytest.fixture
def debugged() -> Iterator[str]:
    """An engine that its developer started by hand."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(TINY / "server.py"), "--port", str(port)])
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            httpx.get(f"{url}/health")
            break
        except httpx.HTTPError:
            time.sleep(0.02)
    yield url
    process.kill()
    process.wait()


def test_a_running_engine_is_attached_and_left_alone_when_detached(
    debugged: str, host: Host
) -> None:
    engine = attach_engine(debugged, host=host, user=None)

    assert engine.state == Engine.State.RUNNING
    assert engine.engine_models.count() == 2
    detach_engine(engine, user=None)
    assert httpx.get(f"{debugged}/health").status_code == 200
    assert not Engine.objects.filter(attached_url=debugged).exists()


@pytest.mark.parametrize("url", ["http://10.0.0.1:8766", "ftp://127.0.0.1:1", "nonsense", ""])
def test_only_this_machine_is_attached(host: Host, url: str) -> None:
    with pytest.raises(Refused) as refused:
        attach_engine(url, host=host, user=None)

    assert refused.value.code == "URL_INVALID"


def test_an_address_without_an_engine_is_named(host: Host) -> None:
    with pytest.raises(Refused, match="No engine answered at") as refused:
        attach_engine(f"http://127.0.0.1:{free_port()}", host=host, user=None)

    assert refused.value.status == 502


def test_attaching_needs_an_admin(host: Host) -> None:
    operator = User.objects.create_user("olga", role=User.Role.OPERATOR)

    with pytest.raises(Refused) as refused:
        attach_engine("http://127.0.0.1:1", host=host, user=operator)

    assert refused.value.status == 403
