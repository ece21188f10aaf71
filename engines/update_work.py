"""Updating an engine and rolling it back: the new image is tried, and left again if it fails.

The row says at every moment which image a start runs. Before the first change the job keeps the
way back (`params["back"]`), so that whoever finds it dead can go it, and so can the job itself when
it begins anew.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import TextField, Value
from django.db.models.functions import Concat
from django.utils import timezone

from accounts.refused import Refused
from engines.bringup import bring_down, bring_up, mark_failed
from engines.fetching import follow_install
from engines.image_checks import ask_about_pulled, note_image, registry_digest_of
from engines.models import Engine
from engines.proving import prove
from engines.reach import client_of, speaks_contract
from engines.rows import write_models
from engines.services import start_engine
from engines.spec import spec_of
from engines.state import change_state
from engines.versions import (
    NO_WAY_BACK,
    as_previous,
    name_of,
    newer_version,
    previous_of,
    put_version,
    spec_of_image,
    spec_of_newest,
    version_of,
)
from hosts.runners.base import EngineRunner, HostUnreachable, ImageNotFound, PortTaken, RunnerError
from jobs.database import insist
from jobs.models import Job
from jobs.outcome import Cancelled, CancelToken
from jobs.work import JobRun

S = Engine.State
PULL_PERCENT = 80.0
PATIENCE_SECONDS = 60.0
"""So long an update waits for a request under way; then the engine is stopped all the same."""
LOOK_SECONDS = 0.1
NOT_THE_IMAGE = (HostUnreachable, PortTaken)
"""What another try with the same image may not meet again."""


class UpdateFailed(RunnerError):
    """The new version did not pass, and what ran before is in place again."""

    code = "UPDATE_FAILED"


def update(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """Pull what the tag stands for now beside what runs, try it, and keep it if it passes."""
    _begin_where_it_was(run, runner, engine)
    if not engine.image_id:
        note_image(engine, runner.image(spec_of(engine)))
    follow_install(run, runner, spec_of_newest(engine), whole=PULL_PERCENT)
    newest = runner.image(spec_of_newest(engine))
    if newest is None:
        raise ImageNotFound(
            f"{engine.image}:{engine.tag} was pulled, but is not on {engine.host} any more. Try "
            "again."
        )
    ask_about_pulled(engine, newest)
    engine.refresh_from_db()
    if newest.id == engine.image_id:
        note_image(engine, newest, is_pulled=True)
        run.line(f"{engine} has the newest image already.")
        return
    before = version_of(engine)
    _change(run, runner, engine, newer_version(engine, newest), previous=as_previous(before))
    run.line(f"{engine} is {name_of(version_of(engine))} now; {name_of(before)} is kept.")


def roll_back(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """Start the previous image again; the one that is left is not taken again by itself."""
    _begin_where_it_was(run, runner, engine)
    version = engine.previous
    if not version or runner.image(spec_of_image(engine, version["image_id"])) is None:
        raise ImageNotFound(
            f"The previous image of {engine} is no longer on {engine.host}, so there is no way "
            "back. What runs was left as it is."
        )
    left = registry_digest_of(engine)
    _change(run, runner, engine, version, previous=NO_WAY_BACK, skipped_digest=left)
    run.line(f"{engine} is {name_of(version)} again.")


def _change(
    run: JobRun,
    runner: EngineRunner,
    engine: Engine,
    version: dict[str, Any],
    *,
    previous: dict[str, Any],
    **values: Any,
) -> None:
    """Run `version` instead, test it, and go back by itself where it does not pass.

    An engine that was stopped is stopped afterwards; `values` are written at the good end.
    Raises UpdateFailed and Cancelled.
    """
    was_alive, model = engine.is_alive, engine.loaded_model
    back: dict[str, Any] = {
        "job": run.job.pk,
        "version": version_of(engine),
        "previous": previous_of(engine),
        "was_alive": was_alive,
        "model": model,
    }
    _write_params(run.job, back=back)
    try:
        if was_alive:
            _await_quiet(run, engine)
            bring_down(run, runner, engine)
        # While it is on trial, what ran before is what must not be removed.
        put_version(engine, version, previous=as_previous(back["version"]))
        bring_up(run, runner, engine, model=model)
        _prove_and_read(run, engine)
        if not was_alive:
            bring_down(run, runner, engine)
    except Cancelled:
        _give_up(run, runner, engine, back)
        raise
    except RunnerError as error:
        raise _failed(run, runner, engine, back, error) from error
    values["disk_bytes"] = runner.size(spec_of(engine))
    insist(partial(_keep, engine, previous, values))


def _keep(engine: Engine, previous: dict[str, Any], values: dict[str, Any]) -> None:
    """It has passed: it stays, and `previous` is the way back from it."""
    put_version(engine, version_of(engine), previous=previous)
    Engine.objects.filter(pk=engine.pk).update(**values)


def _await_quiet(run: JobRun, engine: Engine) -> None:
    """Let a request that is under way end first."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        engine.refresh_from_db(fields=["busy_until"])
        if not engine.busy_until or engine.busy_until < timezone.now():
            return
        run.step("quiet", "Wait for the request under way")
        run.token.wait(LOOK_SECONDS)
        run.check()
    run.line(f"The request has not ended in {PATIENCE_SECONDS:g} s; {engine} is stopped now.")


def _prove_and_read(run: JobRun, engine: Engine) -> None:
    if not speaks_contract(engine):
        run.line("It answers; it cannot be tested further, as it does not speak abm's contract.")
        return
    prove(run, engine)
    with client_of(engine) as client:
        write_models(engine, client.models())


def _failed(
    run: JobRun, runner: EngineRunner, engine: Engine, back: dict[str, Any], error: RunnerError
) -> UpdateFailed:
    """Go back, and say so in the failure. What failed is not tried again by itself."""
    is_update = run.job.action == Job.Action.UPDATE
    was = "updated" if is_update else "rolled back"
    before = "old version" if is_update else "version of before"
    is_changed = engine.image_id != back["version"]["image_id"]
    if is_changed and not isinstance(error, NOT_THE_IMAGE):
        skipped = registry_digest_of(engine)
        Engine.objects.filter(pk=engine.pk).update(skipped_digest=skipped)
    text = f"{engine} was not {was}: {error.message}"
    try:
        _go_back(run, runner, engine, back)
    except RunnerError as second:
        text += f" The {before} is in place again, but does not run: {second.message}"
    else:
        text += f" The {before} {'runs' if back['was_alive'] else 'is in place'} again."
    return UpdateFailed(text, detail=error.detail)


def _give_up(run: JobRun, runner: EngineRunner, engine: Engine, back: dict[str, Any]) -> None:
    """After a cancel: go back; when abm itself is ending, leave the start to somebody else."""
    if engine.image_id == back["version"]["image_id"]:
        return
    if Job.objects.filter(pk=run.job.pk, cancel_requested_at=None).exists():
        put_version(engine, back["version"], previous=back["previous"])
        text = f"Its update was interrupted; {name_of(back['version'])} is in place. Start it."
        change_state(engine, S.STOPPED, text=text)
        return
    try:
        _go_back(run, runner, engine, back)
    except RunnerError as error:
        run.line(error.message)


def _go_back(run: JobRun, runner: EngineRunner, engine: Engine, back: dict[str, Any]) -> None:
    """Put what was before in place, and start it if it ran; no cancel stops this any more."""
    run.fail_step()
    run.step("back", f"Go back to {name_of(back['version'])}")
    calm = _Uncancelled(run)
    try:
        bring_down(calm, runner, engine)
    except RunnerError as error:
        mark_failed(engine, error)
        raise
    finally:
        put_version(engine, back["version"], previous=back["previous"])
    if back["was_alive"]:
        bring_up(calm, runner, engine, model=back["model"])


class _Uncancelled(JobRun):
    """The same job for the way back, which is gone to its end also after a cancel."""

    def __init__(self, run: JobRun) -> None:
        self.job, self.token = run.job, CancelToken()
        self._run = run

    def step(self, key: str, title: str) -> None:
        self._run.step(f"back-{key}", title)

    def line(self, text: str) -> None:
        self._run.line(text)

    def progress(self, percent: float, **numbers: Any) -> None:
        """The bar stays where the update left it."""


def recover_update(job: Job, runner: EngineRunner, engine: Engine) -> bool:
    """After a lost job: whether it had begun to change the engine, which has been undone then.

    An image that was not tested to the end is left; what ran before is started again.
    """
    back = job.params.get("back") or {}
    if back.get("job") != job.pk:
        _say(job, f"{engine} still is {name_of(version_of(engine))}.")
        return False
    if undo_update(job, runner, engine) and back["was_alive"]:
        _start_again(engine, back["model"])
    _say(job, f"{engine} is {name_of(back['version'])} again.")
    return True


def undo_update(job: Job, runner: EngineRunner, engine: Engine) -> bool:
    """Put in place what was before this job changed it; whether the engine is stopped now."""
    back = job.params.get("back") or {}
    if back.get("job") != job.pk:
        return False
    if engine.image_id != back["version"]["image_id"]:
        runner.stop(spec_of(engine), grace=settings.ENGINE_STOP_TIMEOUT)
        put_version(engine, back["version"], previous=back["previous"])
    if engine.state == S.RUNNING and runner.status(spec_of(engine)).is_running:
        return False
    name = name_of(back["version"])
    text = f"Its {job.get_action_display().lower()} was cut off. {name} is in place."
    change_state(engine, S.STOPPED, text=text, event=f"{engine}: {text}")
    return True


def _say(job: Job, text: str) -> None:
    """Beside that its worker was lost: which version is in place now."""
    Job.objects.filter(pk=job.pk).update(
        error=Concat("error", Value(f" {text}"), output_field=TextField())
    )


def _start_again(engine: Engine, model: str) -> None:
    try:
        start_engine(engine, user=None, model=model)
    except Refused:
        # Its models are others, or a person was quicker: it stands ready to be started.
        return


def _write_params(job: Job, **values: Any) -> None:
    job.params = {**job.params, **values}
    Job.objects.filter(pk=job.pk).update(params=job.params)


def _begin_where_it_was(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """One that begins anew first brings back what it had changed before it was cut off.

    A retried job comes with the parameters of another one, whose way back is not its own.
    """
    back = run.job.params.get("back") or {}
    if back.get("job") != run.job.pk:
        run.job.params = {key: value for key, value in run.job.params.items() if key != "back"}
        return
    undo_update(run.job, runner, engine)
    if back["was_alive"] and not engine.is_alive:
        bring_up(run, runner, engine, model=back["model"])
