"""An engine's life on a real host: installed, started, used, stopped, and how it may fail."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from django.db.models import QuerySet

from accounts.refused import Refused
from catalog.models import Variant
from engines import observe, services, work
from engines.models import Engine
from engines.recovery import recover
from engines.spec import spec_of
from engines.uninstall import uninstall_engine
from engines.work import log_tail
from hosts.models import Host
from hosts.runners.base import EngineStatus
from hosts.work import runner_of
from jobs import services as job_services
from jobs.models import Event, Job, JobLine
from tests.engines.conftest import TINY, Do
from tests.engines.factories import make_engine

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]
S = Engine.State


def fresh(engine: Engine) -> Engine:
    return Engine.objects.select_related("host").get(pk=engine.pk)


def status_of(engine: Engine) -> EngineStatus:
    with runner_of(engine.host) as runner:
        return runner.status(spec_of(engine))


def until(holds: Callable[[], object], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.02)


def started(engine: Engine, do: Do) -> Engine:
    job = services.start_engine(engine, user=None)
    assert job is not None
    assert do(job).status == Job.Status.SUCCEEDED, job.error
    return fresh(engine)


def misbehaving(engine: Engine, how: str) -> Engine:
    engine.environment = {"TINY": how}
    engine.save(update_fields=["environment"])
    return engine


def failed_start(engine: Engine, do: Do) -> Job:
    job = services.start_engine(engine, user=None)
    assert job is not None
    do(job)
    assert job.status == Job.Status.FAILED
    assert fresh(engine).state == S.FAILED
    assert fresh(engine).error == job.error
    return job


def test_install_tells_its_steps_and_ends_with_a_stopped_engine(installed: Engine) -> None:
    job = Job.objects.get(engine=installed)

    assert installed.state == S.STOPPED
    assert installed.is_default
    assert installed.disk_bytes
    assert job.percent == 100
    assert [step["key"] for step in job.steps] == ["copy", "venv", "fetch", "mark"]
    assert all(step["finished_at"] for step in job.steps)
    assert JobLine.objects.filter(job=job, text__startswith="With ").exists()
    assert Event.objects.filter(name="engine.changed", text__contains="was installed").exists()


def test_installing_twice_at_once_is_one_job(tiny: Variant, host: Host) -> None:
    first = services.install_engine(tiny, host=host, user=None)
    second = services.install_engine(tiny, host=host, user=None)

    assert first.pk == second.pk


def test_what_is_installed_is_not_installed_again(
    installed: Engine, tiny: Variant, host: Host
) -> None:
    with pytest.raises(Refused) as refused:
        services.install_engine(tiny, host=host, user=None)

    assert refused.value.code == "ENGINE_EXISTS"


def test_start_loads_the_default_model_and_reads_the_rows(installed: Engine, do: Do) -> None:
    engine = started(installed, do)

    assert engine.state == S.RUNNING
    assert engine.loaded_model == "one"
    assert engine.device == "cpu"
    assert list(engine.engine_models.values_list("name", "is_default")) == [
        ("one", True),
        ("two", False),
    ]


def test_starting_a_running_engine_makes_no_job(installed: Engine, do: Do) -> None:
    engine = started(installed, do)

    assert services.start_engine(engine, user=None) is None


def test_stop_ends_the_process(installed: Engine, do: Do) -> None:
    engine = started(installed, do)

    job = services.stop_engine(engine, user=None)

    assert job and do(job).status == Job.Status.SUCCEEDED
    assert fresh(engine).state == S.STOPPED
    assert not status_of(engine).is_running


def test_restart_keeps_the_model(installed: Engine, do: Do) -> None:
    engine = started(installed, do)
    do(services.load_model(engine, model="two", user=None))
    assert fresh(engine).loaded_model == "two"

    do(services.restart_engine(fresh(engine), user=None))

    assert fresh(engine).loaded_model == "two"


def test_an_unknown_model_is_refused_with_those_there_are(installed: Engine, do: Do) -> None:
    engine = started(installed, do)

    with pytest.raises(Refused, match="one, two") as refused:
        services.load_model(engine, model="three", user=None)

    assert refused.value.status == 404


def test_discover_leaves_a_stopped_engine_stopped(installed: Engine, do: Do) -> None:
    do(services.discover_models(installed, user=None))

    assert fresh(installed).state == S.STOPPED
    assert installed.engine_models.count() == 2


def test_uninstall_leaves_history_and_no_files(installed: Engine, do: Do) -> None:
    job = do(uninstall_engine(installed, user=None))

    assert job.status == Job.Status.SUCCEEDED
    assert not Engine.objects.filter(pk=installed.pk).exists()
    assert Job.objects.filter(subject__contains="Tiny").count() == 2


def test_a_crash_at_the_start_names_itself_and_shows_the_traceback(
    installed: Engine, do: Do
) -> None:
    job = failed_start(misbehaving(installed, "crash"), do)

    assert "ended while it was starting" in job.error
    assert "status 1" in job.error
    assert "tiny cannot go on" in job.error_detail


def test_a_wrong_port_is_named_with_the_right_one(installed: Engine, do: Do) -> None:
    job = failed_start(misbehaving(installed, "wrong-port"), do)

    port = fresh(installed).port
    assert port
    assert f"listens on port {port + 500} instead of port {port}" in job.error
    assert not status_of(installed).is_running


def test_a_start_that_never_becomes_ready_ends_in_a_sentence(installed: Engine, do: Do) -> None:
    job = failed_start(misbehaving(installed, "silent"), do)

    assert "did not open port" in job.error
    assert "ENGINE_START_TIMEOUT" in job.error
    assert "tiny begins" in job.error_detail


def test_an_engine_that_reports_an_error_is_quoted(installed: Engine, do: Do) -> None:
    job = failed_start(misbehaving(installed, "error"), do)

    assert "no licence file" in job.error


def test_an_engine_that_dies_while_it_loads_says_so(installed: Engine, do: Do) -> None:
    job = failed_start(misbehaving(installed, "dies-loading"), do)

    assert "while it loaded one" in job.error
    assert "model file is broken" in job.error_detail


def test_stopping_during_a_start_cancels_it(installed: Engine, do: Do) -> None:
    job = services.start_engine(misbehaving(installed, "slow-load"), user=None)

    cancelled = services.stop_engine(installed, user=None)

    assert job and cancelled and cancelled.pk == job.pk
    assert cancelled.status == Job.Status.CANCELLED


def test_an_engine_that_dies_is_written_down_with_its_reason(installed: Engine, do: Do) -> None:
    engine = started(installed, do)
    pid = status_of(engine).pid
    assert pid

    os.kill(pid, signal.SIGKILL)
    until(lambda: (found := status_of(engine).exit) and found.signal)
    observe.engine_seen(engine, status_of(engine), log_tail="the end")

    seen = fresh(engine)
    assert seen.state == S.FAILED
    assert "memory ran out" in seen.error
    assert seen.error_detail == "the end"
    assert seen.restart_at is None


def test_one_that_is_kept_running_comes_back_after_a_pause(installed: Engine, do: Do) -> None:
    engine = started(installed, do)
    services.set_keep_running(engine, keeps=True, user=None)
    with runner_of(engine.host) as runner:
        runner.stop(spec_of(engine), grace=0.2)

    observe.engine_seen(engine, status_of(engine))
    seen = fresh(engine)
    assert seen.restart_at and seen.crash_count == 1
    Engine.objects.filter(pk=engine.pk).update(restart_at=seen.state_at)
    observe.restart_due()

    job = Job.objects.get(engine=engine, status=Job.Status.QUEUED)
    assert job.action == Job.Action.START
    assert do(job).status == Job.Status.SUCCEEDED
    assert fresh(engine).state == S.RUNNING


def test_the_pause_grows_with_each_crash_in_a_row(installed: Engine) -> None:
    services.set_keep_running(installed, keeps=True, user=None)
    pauses = []
    for _ in range(4):
        Engine.objects.filter(pk=installed.pk).update(state=S.RUNNING)
        observe.engine_seen(installed, EngineStatus(is_installed=True, is_running=False))
        seen = fresh(installed)
        assert seen.restart_at
        pauses.append(round((seen.restart_at - seen.state_at).total_seconds()))

    assert pauses == [2, 4, 8, 16]
    assert seen.state_text == "It crashes in a loop, 4 times in a row. Starts again in 16 s."


def test_a_running_engine_is_found_again_after_abm_was_away(installed: Engine, do: Do) -> None:
    engine = started(installed, do)
    Engine.objects.filter(pk=engine.pk).update(state=S.STOPPED, url="", port=None)

    observe.engine_seen(engine, status_of(engine))

    seen = fresh(engine)
    assert seen.state == S.RUNNING
    assert seen.loaded_model == "one"


def test_files_that_vanished_make_the_engine_missing(installed: Engine) -> None:
    with runner_of(installed.host) as runner:
        runner.remove(spec_of(installed))

    observe.engine_seen(installed, status_of(installed))

    assert fresh(installed).state == S.MISSING


def test_a_job_whose_worker_died_frees_its_engine(tiny: Variant, host: Host, do: Do) -> None:
    job = services.install_engine(tiny, host=host, user=None)
    engine = job.engine
    assert engine
    Job.objects.filter(pk=job.pk).update(status=Job.Status.RUNNING, heartbeat_at=job.created_at)
    Engine.objects.filter(pk=engine.pk).update(state=S.INSTALLING)

    (lost,) = job_services.interrupt_all()
    recover(lost)

    job.refresh_from_db()
    assert job.status == Job.Status.FAILED
    assert "abm was stopped while this ran" in job.error
    assert fresh(engine).state == S.ABSENT
    again = do(job_services.retry_job(job, user=None))
    assert again.status == Job.Status.SUCCEEDED
    assert fresh(engine).state == S.STOPPED


def test_the_log_outlives_the_engine(installed: Engine, do: Do) -> None:
    engine = started(installed, do)
    with runner_of(engine.host) as runner:
        runner.stop(spec_of(engine), grace=0.2)

    assert "tiny begins in mode ok" in log_tail(engine, lines=10)


def test_the_same_name_from_another_source_is_refused(
    installed: Engine, tiny: Variant, host: Host
) -> None:
    other = tiny.entry
    other.pk = None
    other.source = type(other.source).objects.create(name="another")
    other.folder = str(TINY)
    other.save()
    variant = other.variants.create(tag="latest")

    with pytest.raises(Refused, match="already has an engine named tiny"):
        services.install_engine(variant, host=host, user=None)


def test_of_two_installs_that_end_in_one_moment_one_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = make_engine(is_default=True), make_engine()
    monkeypatch.setattr(QuerySet, "exists", lambda _: False)  # as the second saw it

    work._become_default_if_first(second)

    assert list(Engine.objects.filter(is_default=True)) == [first]
