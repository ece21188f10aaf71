"""The work of jobs on engines. Runners are opened here; each verb can run twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from engines.away import going_on_later
from engines.bringup import bring_down, bring_up, load, mark_failed, settle, start_first
from engines.fetching import follow_install
from engines.image_checks import note_image
from engines.links import log_door
from engines.models import Engine
from engines.proving import prove
from engines.reach import client_of
from engines.recovery import settled, still_serves
from engines.rows import write_models
from engines.services import definition_of
from engines.sources.build_work import build_for
from engines.spec import spec_of
from engines.state import change_state
from engines.uninstall_work import uninstall
from engines.update_work import roll_back, update
from engines.versions import spec_of_newest
from hosts.runners.base import EngineFailed, EngineRunner, EngineSpec, RunnerError
from hosts.work import runner_of
from jobs.database import reach
from jobs.events import announce
from jobs.models import Job
from jobs.outcome import Cancelled, CancelToken
from jobs.work import JobRun, running

log = logging.getLogger(__name__)
S = Engine.State


def run(job_id: int) -> None:
    """Do the job `job_id` if it is still to be done."""
    with running(job_id) as job_run:
        if job_run is None:
            return
        reach()
        engine = Engine.objects.select_related("host", "variant__entry__source").get(
            pk=job_run.job.engine_id or 0
        )
        with (
            settled(job_run.job, engine),
            going_on_later(job_run, engine),
            runner_of(engine.host) as runner,
        ):
            VERBS[job_run.job.action](job_run, runner, engine)


def install(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """Put the engine's parts in place; afterwards it is stopped, or started if so asked."""
    variant = engine.variant
    if variant is None:
        raise EngineFailed(f"{engine} is no longer in any catalog.")
    entry = variant.entry
    engine.definition = definition_of(entry)
    engine.content_hash, engine.version = entry.content_hash, entry.version
    engine.save(update_fields=["definition", "content_hash", "version", "updated_at"])
    change_state(engine, S.INSTALLING)
    spec = spec_of(engine)
    try:
        whole = 90.0 if run.job.params.get("starts") else 100.0
        built = build_for(run, runner, engine, variant, ends=0.9 * whole)
        follow_install(run, runner, spec, whole=whole, begins=built)
    except (RunnerError, Cancelled) as error:
        run.fail_step()
        run.step("tidy", "Tidy up")
        _take_back(run, runner, spec)
        change_state(engine, S.ABSENT, event=f"{engine} was not installed: {error.message}")
        raise
    change_state(
        engine,
        S.STOPPED,
        event=f"{engine} was installed on {engine.host}",
        installed_at=timezone.now(),
        disk_bytes=runner.size(spec),
    )
    note_image(engine, runner.image(spec_of_newest(engine)), is_pulled=True)
    _become_default_if_first(engine)
    if run.job.params.get("starts"):
        start_first(run, runner, engine)


def _take_back(run: JobRun, runner: EngineRunner, spec: EngineSpec) -> None:
    """Remove what came so far. A host that is away keeps it, and is not why the install failed."""
    try:
        runner.remove(spec)
    except RunnerError as error:
        run.line(f"What came so far could not be removed: {error.message}")


def read_definition_again(run: JobRun, engine: Engine) -> None:
    """An engine that runs in place follows its files; what a user set on it is kept."""
    variant = engine.variant
    if variant is None or not engine.definition.get("is_in_place"):
        return
    entry = variant.entry
    if entry.is_withdrawn or entry.content_hash == engine.content_hash:
        return
    engine.definition = definition_of(entry)
    engine.content_hash, engine.version = entry.content_hash, entry.version
    engine.save(update_fields=["definition", "content_hash", "version", "updated_at"])
    run.line("Its files changed since the last time; its definition was read again.")


def _become_default_if_first(engine: Engine) -> None:
    same = Engine.objects.filter(engine_type=engine.engine_type, is_default=True)
    # Another install may end in the same moment; then that one is the first.
    with suppress(IntegrityError), transaction.atomic():
        if not same.exists():
            Engine.objects.filter(pk=engine.pk).update(is_default=True)


def start(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    read_definition_again(run, engine)
    bring_up(run, runner, engine, model=run.job.params.get("model", ""))
    note_image(engine, runner.image(spec_of(engine)))


def stop(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    bring_down(run, runner, engine)


def restart(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    bring_down(run, runner, engine)
    read_definition_again(run, engine)
    bring_up(run, runner, engine, model=run.job.params.get("model", ""))


def load_model(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """Swap the model in place where the engine says that it can, else by a restart."""
    model = run.job.params["model"]
    swaps = bool((engine.definition.get("capabilities") or {}).get("supports_model_hotswap"))
    if engine.state != S.RUNNING or not swaps:
        if engine.state == S.RUNNING:
            run.line(f"{engine} cannot swap models while it runs; it is restarted.")
            bring_down(run, runner, engine)
        bring_up(run, runner, engine, model=model)
        return
    spec = spec_of(engine)
    try:
        with client_of(engine) as client:
            load(run, runner, spec, client, engine, model=model)
            settle(client, engine)
    except Cancelled:
        runner.stop(spec, grace=settings.ENGINE_STOP_TIMEOUT)
        change_state(engine, S.STOPPED, text="Loading was cancelled.")
        raise
    except RunnerError as error:
        if runner.status(spec).is_running and still_serves(engine):
            change_state(engine, S.RUNNING)
        else:
            mark_failed(engine, error)
        raise


def discover(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """Read /models; an engine that was stopped is stopped again afterwards."""
    was_running = engine.state == S.RUNNING
    if not was_running:
        bring_up(run, runner, engine, model="")
    run.step("models", "Ask for its models")
    with client_of(engine) as client:
        rows = write_models(engine, client.models())
    run.line(f"{len(rows)} models: {', '.join(row.name for row in rows)[:500]}")
    announce("engines", "engine.changed", text=f"{engine} has {len(rows)} models", pk=engine.pk)
    if not was_running:
        bring_down(run, runner, engine)


def test(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """The functional test: does it do what its type is for? Started for it if need be."""
    if engine.state != S.RUNNING:
        bring_up(run, runner, engine, model="")
    prove(run, engine)


VERBS: dict[str, Callable[[JobRun, EngineRunner, Engine], None]] = {
    Job.Action.INSTALL: install,
    Job.Action.START: start,
    Job.Action.STOP: stop,
    Job.Action.RESTART: restart,
    Job.Action.LOAD: load_model,
    Job.Action.DISCOVER: discover,
    Job.Action.TEST: test,
    Job.Action.UPDATE: update,
    Job.Action.ROLLBACK: roll_back,
    Job.Action.UNINSTALL: uninstall,
}


def log_tail(engine: Engine, *, lines: int) -> list[str]:
    """The last lines that the engine wrote, oldest first; none for an attached one."""
    if engine.attached_url:
        return []
    if log_door.is_needed(engine):
        return list(log_door.read(engine, tail=lines, follows=False, cancel=CancelToken()))
    with runner_of(engine.host) as runner:
        return runner.logs(spec_of(engine), tail=lines)


def follow_log(engine: Engine, *, tail: int, cancel: CancelToken) -> Iterator[str]:
    """The last `tail` lines and each new one until `cancel`; raises RunnerError."""
    if engine.attached_url:
        yield "This engine runs outside abm; its developer has its log."
        return
    if log_door.is_needed(engine):
        yield from log_door.read(engine, tail=tail, follows=True, cancel=cancel)
        return
    with runner_of(engine.host) as runner:
        yield from runner.follow(spec_of(engine), tail=tail, cancel=cancel)
