"""Real starts of an engine that was to use a GPU and says that it runs on the CPU."""

from __future__ import annotations

from pathlib import Path

from engines.models import Engine
from engines.services import start_engine
from engines.spec import spec_of
from hosts.models import Host
from hosts.work import runner_of
from jobs.models import Job
from tests.engines.cards import A, make_gpu
from tests.engines.conftest import Do


def started(engine: Engine, do: Do, **values: object) -> Job:
    Engine.objects.filter(pk=engine.pk).update(uses_gpu=True, **values)
    job = start_engine(Engine.objects.get(pk=engine.pk), user=None)
    assert job is not None
    done = do(job)
    engine.refresh_from_db()
    return done


def test_it_runs_and_says_what_it_runs_on(installed: Engine, do: Do) -> None:
    job = started(installed, do)

    assert job.status == Job.Status.SUCCEEDED
    assert installed.fell_back
    assert installed.state_text.startswith("Runs on the CPU, was to use the GPU.")
    assert "It is to use every card." in [line.text for line in job.lines.all()]


def test_where_that_is_forbidden_it_fails_and_is_down(installed: Engine, do: Do) -> None:
    job = started(installed, do, forbids_cpu=True)

    assert (job.status, job.error_code) == (Job.Status.FAILED, "NO_GPU")
    assert "may not do without" in job.error
    assert installed.state == Engine.State.FAILED


def test_a_chosen_card_that_is_gone_stops_the_start(installed: Engine, host: Host, do: Do) -> None:
    make_gpu(host)

    job = started(installed, do, gpus=["GPU-gone"])

    assert job.error_code == "NO_GPU"
    assert "GPU-gone" in installed.error


def test_the_process_is_given_its_cards(installed: Engine, host: Host, do: Do) -> None:
    make_gpu(host)

    started(installed, do, gpus=[A])

    environment = Path(f"/proc/{pid_of(installed)}/environ").read_bytes().split(b"\0")
    assert f"CUDA_VISIBLE_DEVICES={A}".encode() in environment
    assert b"CUDA_DEVICE_ORDER=PCI_BUS_ID" in environment


def pid_of(engine: Engine) -> int | None:
    with runner_of(engine.host) as runner:
        return runner.status(spec_of(engine)).pid
