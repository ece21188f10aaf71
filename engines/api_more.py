"""What the contract lacks of an engine: all of it, its life, logs, figures and settings."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from ninja import Query, Router
from pydantic import Field

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import Registered, Shape, Text, VariantId, Wish, bytes_of, endpoint, person
from engines import services
from engines.api_naming import engine_of
from engines.api_shapes import EngineDetails, details_of
from engines.links.figures import stats_of
from engines.log_stream import follow_lines, take_seat
from engines.work import log_tail
from hosts.runners.base import RunnerError
from jobs.api_answers import (
    JobAnswer,
    answered,
    job_answer,
    joined,
)
from jobs.models import Job

router = Router(tags=["engines"], by_alias=True)
OPERATOR = User.Role.OPERATOR
MOST_LINES = 200_000


class ModelShape(Shape):
    """A model; its size in bytes."""

    name: str
    display_name: str
    languages: list[str]
    size_bytes: int | None
    is_default: bool
    is_loaded: bool


class ModelRows(Shape):
    """The models of an engine."""

    success: bool = True
    variant_id: str
    models: list[ModelShape]


class LoadWish(Wish):
    """The model to be loaded."""

    model_name: Text


class LogsWanted(Shape):
    """Which lines: the last `tail`, without the last `skip` of all; or the newest as they come."""

    tail: int = Field(500, ge=1, le=MOST_LINES)
    skip: int = Field(0, ge=0, le=MOST_LINES)
    follow: bool = False


class LogsAnswer(Shape):
    """What an engine wrote, oldest first."""

    success: bool = True
    variant_id: str
    lines: list[str]
    count: int


class FigureShape(Shape):
    """What it used at one moment: percent of one core, bytes, bytes a second."""

    at: datetime
    cpu_percent: float | None
    memory_bytes: int | None
    received_per_second: float | None
    sent_per_second: float | None


class StatsAnswer(Shape):
    """The last hour, oldest first; empty where nobody reads any."""

    success: bool = True
    variant_id: str
    latest: FigureShape | None
    samples: list[FigureShape]


@endpoint(
    router,
    "GET",
    "/engines/{variant_id}",
    response=EngineDetails,
    errors=[404],
    summary="Get an engine",
)
def get_engine(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    return bytes_of(details_of(engine_of(variant_id)))


@endpoint(
    router,
    "GET",
    "/engines/{variant_id}/models",
    response=ModelRows,
    errors=[404],
    summary="List an engine's models",
)
def list_models(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    engine = engine_of(variant_id)
    rows = [
        ModelShape(
            name=row.name,
            display_name=row.display_name,
            languages=[str(code) for code in row.languages],
            size_bytes=row.size_bytes,
            is_default=row.is_default,
            is_loaded=row.name == engine.loaded_model,
        )
        for row in engine.engine_models.all()
    ]
    return bytes_of(ModelRows(variant_id=engine.address, models=rows))


def verb(path: str, summary: str) -> Registered:
    """An endpoint that makes a job: 202 at once, or 200 when it ended with `wait=true`."""
    return endpoint(
        router,
        "POST",
        f"/engines/{{variant_id}}/{path}",
        response=JobAnswer,
        answers={202: JobAnswer},
        role=OPERATOR,
        errors=[404, 409],
        summary=summary,
    )


@verb("restart", "Restart an engine")
def restart(request: HttpRequest, variant_id: VariantId, wait: bool = False) -> HttpResponseBase:
    ask = partial(services.restart_engine, engine_of(variant_id), user=person(request))
    return answered(request, joined(Job.Action.RESTART, ask), job_answer, wait=wait)


@verb("test", "Run an engine's functional test")
def test_engine(
    request: HttpRequest, variant_id: VariantId, wait: bool = False
) -> HttpResponseBase:
    ask = partial(services.test_engine, engine_of(variant_id), user=person(request))
    return answered(request, joined(Job.Action.TEST, ask), job_answer, wait=wait)


@verb("load", "Load another model")
def load(
    request: HttpRequest, variant_id: VariantId, wish: LoadWish, wait: bool = False
) -> HttpResponseBase:
    model = wish.model_name
    ask = partial(services.load_model, engine_of(variant_id), model=model, user=person(request))
    return answered(request, joined(Job.Action.LOAD, ask, model=model), job_answer, wait=wait)


@endpoint(
    router,
    "GET",
    "/engines/{variant_id}/logs",
    response=LogsAnswer,
    errors=[404, 502],
    summary="Read an engine's log",
)
def logs(
    request: HttpRequest, variant_id: VariantId, wanted: Query[LogsWanted]
) -> HttpResponseBase:
    """With `follow=true` the answer is text that goes on: the tail, then each line as it comes."""
    engine = engine_of(variant_id)
    if wanted.follow:
        take_seat()
        lines = follow_lines(engine, tail=wanted.tail)
        answer = StreamingHttpResponse(lines, content_type="text/plain; charset=utf-8")
        answer["X-Accel-Buffering"] = "no"
        return answer
    try:
        lines_read = log_tail(engine, lines=min(MOST_LINES, wanted.tail + wanted.skip))
    except RunnerError as error:
        raise Refused(error.code, error.message, status=502, variantId=engine.address) from error
    end = len(lines_read) - wanted.skip
    shown = lines_read[max(0, end - wanted.tail) : max(0, end)]
    return bytes_of(LogsAnswer(variant_id=engine.address, lines=shown, count=len(shown)))


@endpoint(
    router,
    "GET",
    "/engines/{variant_id}/stats",
    response=StatsAnswer,
    errors=[404],
    summary="What an engine uses",
)
def stats(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    engine = engine_of(variant_id)
    found = stats_of(engine.pk)
    samples = [
        FigureShape(
            at=sample.at,
            cpu_percent=sample.cpu_percent,
            memory_bytes=sample.memory_bytes,
            received_per_second=sample.received_rate,
            sent_per_second=sample.sent_rate,
        )
        for sample in found.samples
    ]
    latest = samples[-1] if samples and found.latest else None
    return bytes_of(StatsAnswer(variant_id=engine.address, latest=latest, samples=samples))
