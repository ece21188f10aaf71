"""Bringing an engine up and down: from a process that was asked for to one that is ready."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait

from django.conf import settings
from django.utils import timezone

from accounts.refused import Refused
from engines.client import EngineClient, EngineUnreachable
from engines.contract import Health
from engines.environment import require_variables
from engines.gpu_choice import before_start, device_text, require_gpu
from engines.models import Engine
from engines.patience import Patience
from engines.reach import client_of
from engines.rows import write_models
from engines.sample_work import bring_for
from engines.spec import spec_of, spec_to_start
from engines.state import change_state
from hosts.runners.base import (
    EngineFailed,
    EngineRunner,
    EngineSpec,
    RunnerError,
    StartFailed,
)
from jobs.outcome import Cancelled
from jobs.work import JobRun

S = Engine.State
LOG_TAIL = 40
FIRST_PAUSE, LONGEST_PAUSE, PAUSE_GROWS = 0.005, 0.25, 1.03
"""Seconds between two questions whether it answers: some hundredths of the time so far."""
ALIVE_LOOK_SECONDS = 0.1
"""Between two looks whether it lives, which cost Docker four questions and the engine its time."""
LOADING_LOOK_SECONDS = 0.2
END_KNOWN_SECONDS = 1.0


def bring_up(run: JobRun, runner: EngineRunner, engine: Engine, *, model: str) -> None:
    """Start, wait until it answers, load a model, read what it says of itself.

    Raises RunnerError with the cause; the engine is then down, failed, and says why.
    """
    try:
        require_variables(engine)
        spec = spec_to_start(engine)
    except Refused as refused:
        raise StartFailed(refused.message) from refused
    try:
        run.step("start", f"Start the {what_runs(engine)}")
        change_state(engine, S.STARTING, event=f"{engine} is starting")
        _prepare(run, runner, engine)
        endpoint = runner.start(spec)
        Engine.objects.filter(pk=engine.pk).update(port=endpoint.port, url=endpoint.url)
        engine.port, engine.url = endpoint.port, endpoint.url
        run.line(f"Started; waiting for it to answer at {engine.place}")
        run.progress(20)
        with client_of(engine) as client:
            run.step("answer", "Wait until it answers")
            patience = Patience(run, runner, spec, engine)
            await_answer(run, runner, spec, client, patience)
            run.progress(50)
            if client.speaks_contract:
                load(run, runner, spec, client, engine, model=model)
            settle(client, engine, is_start=True)
            patience.report()
    except Cancelled:
        with contextlib.suppress(RunnerError):  # away: its link reads the engine when it is back
            runner.stop(spec, grace=settings.ENGINE_STOP_TIMEOUT)
        change_state(engine, S.STOPPED, text="The start was cancelled.")
        raise
    except RunnerError as error:
        with contextlib.suppress(RunnerError):  # the host is away, which is then why it failed
            error.detail = error.detail or "\n".join(runner.logs(spec, tail=LOG_TAIL))
            runner.stop(spec, grace=settings.ENGINE_STOP_TIMEOUT)
        mark_failed(engine, error)
        raise


def _prepare(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    for line in before_start(engine):
        run.line(line)
    bring_for(run, runner, engine)


def start_first(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """Start what was just installed, unless it needs something that only a person can give."""
    try:
        require_variables(engine)
    except Refused as refused:
        run.line(f"It is not started yet. {refused.message}")
        change_state(engine, S.STOPPED, text=refused.message)
        return
    bring_up(run, runner, engine, model="")


def what_runs(engine: Engine) -> str:
    return "container" if engine.host.is_docker else "process"


def mark_failed(engine: Engine, error: RunnerError) -> None:
    change_state(
        engine,
        S.FAILED,
        event=f"{engine} failed: {error.message}",
        error=error.message,
        error_code=error.code,
        error_detail=error.detail,
    )


def await_answer(
    run: JobRun, runner: EngineRunner, spec: EngineSpec, client: EngineClient, patience: Patience
) -> Health:
    """Ask /health until it is answered; the process's death ends the wait within 0.1 s."""
    engine = patience.engine
    pause, looks_at = FIRST_PAUSE, 0.0
    while True:
        run.check()
        if time.monotonic() >= looks_at:
            status = runner.status(spec)
            if not status.is_running:
                reason = status.exit.reason if status.exit else "It ended without a word."
                raise EngineFailed(f"{engine} ended while it was starting. {reason}")
            looks_at = time.monotonic() + ALIVE_LOOK_SECONDS
        try:
            health = client.health(timeout=settings.ENGINE_HEALTH_CHECK_TIMEOUT)
        except EngineUnreachable as error:
            patience.look()
            if patience.is_over:
                told = runner.address_problem(spec)
                why = _why_silent(engine, status.listening_ports, error, patience.seconds)
                raise StartFailed(told or why) from error
        else:
            if health.status != "error":
                return health
            said = health.error or "it does not say why"
            raise EngineFailed(f"{engine} answers but reports an error: {said}")
        run.token.wait(pause)
        pause = min(pause * PAUSE_GROWS, LONGEST_PAUSE)


def _why_silent(
    engine: Engine, listening: tuple[int, ...], error: EngineUnreachable, waited: float
) -> str:
    seconds = f"{waited:g} s"
    others = [port for port in listening if port != engine.port]
    if others and engine.port not in listening:
        heard = " and ".join(str(port) for port in others)
        return (
            f"{engine} listens on port {heard} instead of port {engine.port}, which abm gave it. "
            "Its server must use --port or PORT."
        )
    if engine.port in listening:
        return f"{engine} listens on port {engine.port} but gave no answer in {seconds}: {error}"
    return (
        f"{engine} runs but did not open port {engine.port} within {seconds}. "
        "Its last log lines may say why; ENGINE_START_TIMEOUT gives it longer."
    )


def load(
    run: JobRun,
    runner: EngineRunner,
    spec: EngineSpec,
    client: EngineClient,
    engine: Engine,
    *,
    model: str,
) -> None:
    """Load `model`, or the default one, and wait until the engine says it is ready."""
    model = model or pick_model(engine, client)
    title = f"Load the model {model}" if model else "Load"
    run.step("load", title)
    change_state(engine, S.LOADING, text=f"Loading {model}" if model else "")
    if _is_loaded_by_others(run, runner, spec, client, engine, model):
        return
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="abm-load")
    try:
        answer: Future[None] = pool.submit(client.load, model, timeout=settings.ENGINE_HTTP_TIMEOUT)
        while not answer.done():
            wait([answer], timeout=0.05)
            run.check()
            if not answer.done():
                _require_alive(runner, spec, engine, model)
        try:
            answer.result()
        except EngineUnreachable:
            # Its end is the cause; that nobody answers any more is only what follows, and may
            # be known a moment before.
            until = time.monotonic() + END_KNOWN_SECONDS
            while time.monotonic() < until:
                _require_alive(runner, spec, engine, model)
                run.token.wait(LOADING_LOOK_SECONDS / 4)
            raise
    finally:
        pool.shutdown(wait=False)
    health = client.health(timeout=settings.ENGINE_HEALTH_CHECK_TIMEOUT)
    if health.status == "error" or not health.engine_model_loaded:
        said = health.error or "it does not say why"
        raise EngineFailed(f"{engine} could not load {model}: {said}")


def _is_loaded_by_others(
    run: JobRun,
    runner: EngineRunner,
    spec: EngineSpec,
    client: EngineClient,
    engine: Engine,
    model: str,
) -> bool:
    """Wait while it loads already, as for an abm that was killed; whether it has `model` then."""
    until = time.monotonic() + settings.ENGINE_HTTP_TIMEOUT
    health = client.health(timeout=settings.ENGINE_HEALTH_CHECK_TIMEOUT)
    if health.status != "loading":
        return False
    run.line("It is loading a model already; abm waits for that.")
    while health.status == "loading" and time.monotonic() < until:
        run.token.wait(LOADING_LOOK_SECONDS)
        run.check()
        _require_alive(runner, spec, engine, model)
        health = client.health(timeout=settings.ENGINE_HEALTH_CHECK_TIMEOUT)
    return health.engine_model_loaded and health.current_engine_model == model


def _require_alive(runner: EngineRunner, spec: EngineSpec, engine: Engine, model: str) -> None:
    status = runner.status(spec)
    if not status.is_running:
        reason = status.exit.reason if status.exit else ""
        raise EngineFailed(f"{engine} ended while it loaded {model}. {reason}".strip())


def pick_model(engine: Engine, client: EngineClient) -> str:
    """The user's default, else what the engine names, else its first; rows are kept in step."""
    known = list(engine.engine_models.all())
    if not known:
        known = write_models(engine, client.models())
    for row in known:
        if row.is_default:
            return row.name
    wanted = engine.definition.get("default_model") or ""
    if wanted:
        return str(wanted)
    return known[0].name if known else "default"


def settle(client: EngineClient, engine: Engine, *, is_start: bool = False) -> None:
    """Running: write down what the engine says of itself.

    Raises NoGpu at a start that took the CPU, where that is forbidden.
    """
    health = client.health(timeout=settings.ENGINE_HEALTH_CHECK_TIMEOUT)
    if is_start:
        require_gpu(engine, health.device or "")
    change_state(
        engine,
        S.RUNNING,
        text=device_text(engine, health.device or ""),
        event=f"{engine} is running",
        loaded_model=health.current_engine_model or "",
        device=health.device or "",
        package_version=health.package_version or "",
        started_at=engine.started_at or timezone.now(),
    )


def bring_down(run: JobRun, runner: EngineRunner, engine: Engine) -> None:
    """Stop it, whatever state it is in; a failed one becomes a stopped one."""
    run.step("stop", f"Stop the {what_runs(engine)}")
    reason = "manual" if run.job.user_id else "inactivity"
    change_state(engine, S.STOPPING, reason=reason)
    runner.stop(spec_of(engine), grace=settings.ENGINE_STOP_TIMEOUT)
    change_state(engine, S.STOPPED, event=f"{engine} was stopped", reason=reason)
