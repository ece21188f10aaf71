"""Engines over the API, path by path as the contract has them."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from ninja import Router
from pydantic import Field

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import Said, Shape, Text, TypeName, VariantId, Wish, bytes_of, endpoint, person
from accounts.roles import require_host
from engines import enabling, preferences, services
from engines.api_naming import engine_of, require_type, typed_engine
from jobs.api_answers import JobAnswer, answered, joined
from jobs.models import Job
from jobs.when_away import KEY, WAIT, chosen

router = Router(tags=["engines"], by_alias=True)
OPERATOR = User.Role.OPERATOR


class StartWish(Wish):
    """Which model is to be loaded; none is the default one."""

    model_name: Text | None = None


class KeepWish(Wish):
    """Whether it is started with abm and never stopped for being idle."""

    keep_running: bool


class SettingsWish(Wish):
    """What is absent stays as it is; parameters that are named replace theirs."""

    default_model_name: Text | None = None
    default_language: Text | None = None
    parameters: dict[str, Any] | None = Field(None, max_length=200)


class ModelsAnswer(Shape):
    """The models that an engine says it has."""

    success: bool = True
    variant_id: str
    models: list[str]
    message: str


@endpoint(
    router,
    "POST",
    "/engines/{engine_type}/default/{variant_id}",
    response=Said,
    role=OPERATOR,
    errors=[400, 409],
    summary="Make an engine the default of its type",
)
def set_default(
    request: HttpRequest, engine_type: TypeName, variant_id: VariantId
) -> HttpResponseBase:
    engine = typed_engine(engine_type, variant_id)
    user = person(request)
    if not engine.is_enabled and engine_type == "tts":
        raise Refused("ENGINE_SET_DEFAULT_FAILED", f"{engine} is switched off.", status=400)
    if not engine.is_enabled:
        enabling.set_engine_enabled(engine, is_enabled=True, user=user)
    services.set_default_engine(engine, user=user)
    return bytes_of(Said(message=f"Default {engine_type} engine set to {engine.address}"))


@endpoint(
    router,
    "DELETE",
    "/engines/{engine_type}/default",
    response=Said,
    role=OPERATOR,
    errors=[400],
    summary="Have no default of this type",
)
def clear_default(request: HttpRequest, engine_type: TypeName) -> HttpResponseBase:
    require_type(engine_type)
    if engine_type == "tts":
        raise Refused("ENGINE_CLEAR_DEFAULT_FAILED", "TTS must have a default engine.", status=400)
    enabling.clear_default(engine_type, user=person(request))
    return bytes_of(Said(message=f"Default {engine_type} engine cleared"))


@endpoint(
    router,
    "POST",
    "/engines/{engine_type}/{variant_id}/enable",
    response=Said,
    role=OPERATOR,
    errors=[400, 409],
    summary="Switch an engine on",
)
def enable(request: HttpRequest, engine_type: TypeName, variant_id: VariantId) -> HttpResponseBase:
    engine = typed_engine(engine_type, variant_id)
    enabling.set_engine_enabled(engine, is_enabled=True, user=person(request))
    return bytes_of(Said(message=f"Engine '{engine.display_name}' enabled"))


@endpoint(
    router,
    "POST",
    "/engines/{engine_type}/{variant_id}/disable",
    response=Said,
    role=OPERATOR,
    errors=[400, 409],
    summary="Switch an engine off; it is stopped",
)
def disable(request: HttpRequest, engine_type: TypeName, variant_id: VariantId) -> HttpResponseBase:
    engine = typed_engine(engine_type, variant_id)
    enabling.set_engine_enabled(engine, is_enabled=False, user=person(request))
    return bytes_of(Said(message=f"Engine '{engine.display_name}' disabled"))


@endpoint(
    router,
    "POST",
    "/engines/{engine_type}/{variant_id}/start",
    response=Said,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[400, 404, 409, 500],
    summary="Start an engine and load a model",
)
def start(
    request: HttpRequest,
    engine_type: TypeName,
    variant_id: VariantId,
    wish: StartWish | None = None,
    wait: bool = True,
) -> HttpResponseBase:
    """Answers when it can be used; with `wait=false` at once.

    Who waits is told at once that the host is away, unless `whenAway=wait` was chosen.
    """
    engine = typed_engine(engine_type, variant_id)
    require_host(person(request), engine.host_id)
    if wait and engine.host.is_away and not engine.is_running and chosen() != {KEY: WAIT}:
        raise Refused(
            "ENGINE_START_FAILED",
            f"{engine.host} cannot be reached now. Send whenAway=wait to start {engine} when it is "
            "back.",
            status=500,
            error=f"[ENGINE_HOST_UNAVAILABLE]host:{engine.host.host_id}",
        )
    model = (wish.model_name if wish else None) or ""
    try:
        ask = partial(services.start_engine, engine, user=person(request), model=model)
        job = joined(Job.Action.START, ask, model=model)
    except Refused as refused:
        raise _start_refusal(refused) from refused
    if job is None:
        return bytes_of(Said(message=f"Engine '{engine.display_name}' runs already"))
    return answered(request, job, _started, wait=wait)


def _start_refusal(refused: Refused) -> Refused:
    """A switched-off engine is a 400 to the contract."""
    if refused.code != "ENGINE_START_DISABLED":
        return refused
    return Refused(refused.code, refused.message, status=400)


def _started(job: Job) -> Said:
    """The contract's words; an error of the start becomes its code."""
    if job.status == Job.Status.FAILED:
        raise Refused(
            "ENGINE_START_FAILED", job.error, status=500, error=f"[{job.error_code}] {job.error}"
        )
    if job.status == Job.Status.CANCELLED or job.engine is None:
        return Said(message=f"{job.subject}: start cancelled")
    engine = job.engine
    name = engine.display_name
    return Said(message=f"Engine '{name}' started successfully on port {engine.port}")


@endpoint(
    router,
    "POST",
    "/engines/{engine_type}/{variant_id}/stop",
    response=Said,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[400, 409, 500],
    summary="Stop an engine, or cancel its start",
)
def stop(
    request: HttpRequest, engine_type: TypeName, variant_id: VariantId, wait: bool = True
) -> HttpResponseBase:
    engine = typed_engine(engine_type, variant_id)
    ask = partial(services.stop_engine, engine, user=person(request))
    job = joined(Job.Action.STOP, ask)
    said = Said(message=f"Engine '{engine.display_name}' stopped")
    if job is None:
        return bytes_of(said)

    def stopped(ended: Job) -> Said:
        if ended.status == Job.Status.FAILED:
            raise Refused("ENGINE_STOP_FAILED", ended.error, status=500, error=ended.error)
        return said

    return answered(request, job, stopped, wait=wait)


@endpoint(
    router,
    "POST",
    "/engines/{engine_type}/{variant_id}/keep-running",
    response=Said,
    role=OPERATOR,
    errors=[400],
    summary="Keep an engine running, or not",
)
def keep_running(
    request: HttpRequest, engine_type: TypeName, variant_id: VariantId, wish: KeepWish
) -> HttpResponseBase:
    engine = typed_engine(engine_type, variant_id)
    services.set_keep_running(engine, keeps=wish.keep_running, user=person(request))
    words = "kept running" if wish.keep_running else "no longer kept running"
    return bytes_of(Said(message=f"Engine '{engine.display_name}' is {words}"))


@endpoint(
    router,
    "PUT",
    "/engines/{engine_type}/{variant_id}/settings",
    response=Said,
    role=OPERATOR,
    errors=[400, 404],
    summary="Set default model, language and parameters",
)
def set_settings(
    request: HttpRequest, engine_type: TypeName, variant_id: VariantId, wish: SettingsWish
) -> HttpResponseBase:
    """Each value must be one that the engine takes; if one is not, nothing changes."""
    engine = typed_engine(engine_type, variant_id)
    preferences.set_preferences(
        engine,
        model=wish.default_model_name,
        language=wish.default_language,
        parameters=wish.parameters,
        user=person(request),
    )
    return bytes_of(Said(message=f"Settings of '{engine.display_name}' saved"))


@endpoint(
    router,
    "POST",
    "/engines/{variant_id}/discover-models",
    response=ModelsAnswer,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[404, 409, 500],
    summary="Ask an engine for its models",
)
def discover_models(
    request: HttpRequest, variant_id: VariantId, wait: bool = True
) -> HttpResponseBase:
    engine = engine_of(variant_id)
    ask = partial(services.discover_models, engine, user=person(request))
    return answered(request, joined(Job.Action.DISCOVER, ask), _discovered, wait=wait)


def _discovered(job: Job) -> ModelsAnswer:
    if job.status != Job.Status.SUCCEEDED or job.engine is None:
        raise Refused("MODEL_DISCOVERY_FAILED", job.error, status=500, error=job.error)
    names = [row.name for row in job.engine.engine_models.all()]
    return ModelsAnswer(
        variant_id=job.engine.address, models=names, message=f"{len(names)} models found"
    )
