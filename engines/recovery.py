"""What becomes of an engine whose job was lost: it is set to what is true on its host."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from django.conf import settings

from accounts.refused import Refused
from engines.bringup import mark_failed, settle
from engines.models import Engine
from engines.reach import client_of
from engines.services import start_engine, stop_engine
from engines.spec import spec_of
from engines.state import change_state
from engines.uninstall_work import finish_uninstall
from engines.update_work import recover_update, undo_update
from hosts.runners.base import EngineFailed, RunnerError
from hosts.work import runner_of
from jobs import services as job_services
from jobs.database import passes, reach
from jobs.heart import being_done
from jobs.lease import looked_lately
from jobs.models import Job
from jobs.outcome import Cancelled, WorkFailed
from jobs.work import MISTAKE

log = logging.getLogger(__name__)
S = Engine.State
UNSETTLED = (S.STARTING, S.DOWNLOADING, S.LOADING, S.STOPPING)
UPDATES = (Job.Action.UPDATE, Job.Action.ROLLBACK)


def sweep() -> None:
    """End jobs whose worker died and set their engines to what is true now.

    While the database was away nobody could beat: who looks first after that spares all.
    """
    spares = not looked_lately("sweep", seconds=settings.JOB_LOST_SECONDS)
    recover_all(job_services.sweep(alive=being_done(), spares=spares and not settings.IS_EMBEDDED))


def recover_all(jobs: Iterable[Job]) -> None:
    """Recover lost jobs; where a host is away, its link reads the engines when it is back."""
    for job in jobs:
        try:
            recover(job)
        except RunnerError as error:
            log.warning("%s could not be tidied up: %s", job, error.message)


def recover(job: Job) -> None:
    """After a lost job: end what it left running and read the engine's state again."""
    engine = Engine.objects.select_related("host").filter(pk=job.engine_id or 0).first()
    if engine is None:
        return
    with runner_of(engine.host) as runner:
        if job.child_pid and job.child_created:
            runner.end_orphan(job.child_pid, job.child_created)
        if job.action in UPDATES and recover_update(job, runner, engine):
            return
        spec = spec_of(engine)
        status = runner.status(spec)
        if job.action == Job.Action.INSTALL and not status.is_installed:
            runner.remove(spec)
            change_state(engine, S.ABSENT)
        elif job.action == Job.Action.UNINSTALL and not status.is_installed:
            finish_uninstall(job, engine)
        elif engine.state in (S.INSTALLING, S.UNINSTALLING):
            change_state(engine, S.STOPPED if status.is_installed else S.ABSENT)
        elif engine.state in UNSETTLED and not status.is_running:
            change_state(engine, S.STOPPED, text="abm was stopped during its start.")
        elif engine.state in UNSETTLED:
            resume(engine)


def resume(engine: Engine) -> None:
    """A live engine without a job: running if it is ready, else a job brings it up, or down."""
    if still_serves(engine):
        with client_of(engine) as client:
            settle(client, engine)
        return
    with runner_of(engine.host) as runner:
        if not runner.status(spec_of(engine)).is_running:
            return  # it ended meanwhile, and its link will say so
    model = engine.loaded_model
    try:
        if engine.state == S.STOPPING:
            stop_engine(engine, user=None)
            return
        text = "It runs and is not ready yet; abm takes it up."
        if not change_state(engine, S.STARTING, text=text):
            change_state(engine, S.STOPPED, text=text)
        start_engine(engine, user=None, model=model)
    except Refused as refused:
        log.info("%s is not taken up: %s", engine, refused.message)


def still_serves(engine: Engine) -> bool:
    """Whether a model is loaded still: a refused swap leaves the old one in place."""
    try:
        with client_of(engine) as client:
            health = client.health(timeout=settings.ENGINE_HEALTH_CHECK_TIMEOUT)
    except RunnerError:
        return False
    return health.status == "ready" and bool(health.engine_model_loaded)


@contextmanager
def settled(job: Job, engine: Engine) -> Iterator[None]:
    """A mistake of abm's own leaves no engine on its way for ever.

    One whose job begins anew stays on its way, because only that job knows where to; but no
    image stays in place that was not tested to the end.
    """
    try:
        yield
    except (WorkFailed, Cancelled):
        raise
    except Exception as error:
        if passes(error) and job.action not in (*UPDATES, Job.Action.INSTALL):
            raise
        reach()
        engine.refresh_from_db(fields=["state"])
        if passes(error) and job.action in UPDATES:
            with suppress(RunnerError):
                _put_back(job)
        elif engine.state in UNSETTLED and job.action not in UPDATES:
            mark_failed(engine, EngineFailed(MISTAKE))
        else:
            with suppress(RunnerError):
                recover(job)
        raise


def _put_back(job: Job) -> None:
    """What ran before an update is in place again, stopped; the job itself begins anew."""
    engine = Engine.objects.select_related("host").get(pk=job.engine_id or 0)
    with runner_of(engine.host) as runner:
        undo_update(job, runner, engine)
