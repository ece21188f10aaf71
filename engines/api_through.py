"""Using an engine through abm: what is sent goes to the engine, what it says comes back as it is.

Both ways without a thread: a long speech arrives while the engine is still speaking.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from ninja import Router

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import VariantId, endpoint, person
from accounts.roles import require_role
from engines.api_naming import engine_of
from engines.client import (
    CONNECT_SECONDS,
    MAX_REFUSAL_BYTES,
    AnswerTooLong,
    read_refusal,
    shared_transport,
    whole_answer,
)
from engines.idle import begin_use, end_use
from engines.links.way import reached
from engines.models import Engine
from engines.state import require_running
from jobs.waiting import answer_later

router = Router(tags=["use"], by_alias=True)
PASSED_ON = (400, 404, 413, 422, 503)
"""What an engine may say no with; any other is its failure."""
OPERATIONS = {
    "generate": ("Speak a text", "application/json", "audio/wav"),
    "transcribe": ("Write down speech", "audio/wav", "application/json"),
    "segment": ("Cut a text into segments", "application/json", "application/json"),
    "analyze": ("Judge a recording", "application/json", "application/json"),
}
"""Path -> what it does, what is sent, what comes back."""


@dataclass(frozen=True, slots=True)
class Passing:
    """One call on its way."""

    engine: Engine
    url: str
    """Where it is reached from here."""
    path: str
    content: bytes
    content_type: str


async def send(passing: Passing) -> httpx.Response:
    """The engine's answer, its body still to be read. Raises Refused."""
    client = shared_transport()
    limits = httpx.Timeout(settings.ENGINE_HTTP_TIMEOUT, connect=CONNECT_SECONDS)
    request = client.build_request(
        "POST",
        passing.url + passing.path,
        content=passing.content,
        headers={"content-type": passing.content_type},
        timeout=limits,
    )
    engine = passing.engine
    try:
        response = await client.send(request, stream=True)
    except httpx.TimeoutException as error:
        seconds = settings.ENGINE_HTTP_TIMEOUT
        raise Refused(
            "ENGINE_TIMEOUT", f"{engine} did not answer within {seconds:g} s.", status=504
        ) from error
    except httpx.HTTPError as error:
        raise Refused("ENGINE_UNREACHABLE", f"{engine} stopped answering.", status=502) from error
    if response.is_error:
        refused = read_refusal(await _whole_refusal(engine, response))
        status = refused.status if refused.status in PASSED_ON else 502
        raise Refused(
            "ENGINE_REFUSED",
            f"{engine} refused: {refused.message}",
            status=status,
            error=refused.message,
        )
    return response


async def _whole_refusal(engine: Engine, response: httpx.Response) -> httpx.Response:
    """Read to its end, which frees the connection. Raises Refused for one without end."""
    try:
        return await whole_answer(response, most=MAX_REFUSAL_BYTES)
    except (AnswerTooLong, httpx.HTTPError) as error:
        raise Refused(
            "ENGINE_REFUSED",
            f"{engine} refused with status {response.status_code} and said too much or too little.",
            status=502,
        ) from error
    finally:
        await response.aclose()


async def pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes; the engine counts as used until its end."""
    try:
        async for piece in response.aiter_bytes():
            yield piece
    finally:
        await response.aclose()


def _streamed(response: httpx.Response) -> StreamingHttpResponse:
    kind = response.headers.get("content-type", "application/octet-stream")
    answer = StreamingHttpResponse(pieces(response), content_type=kind)
    if "content-length" in response.headers and "content-encoding" not in response.headers:
        answer["Content-Length"] = response.headers["content-length"]
    answer["X-Accel-Buffering"] = "no"
    return answer


def _through(request: HttpRequest, variant_id: str, operation: str) -> HttpResponseBase:
    engine = engine_of(variant_id)
    require_role(person(request), User.Role.OPERATOR, host=engine.host_id)
    require_running(engine, variantId=engine.address)
    query = request.META.get("QUERY_STRING", "")
    passing = Passing(
        engine,
        reached(engine),
        f"/{operation}?{query}" if query else f"/{operation}",
        request.body,
        request.content_type or OPERATIONS[operation][1],
    )
    return answer_later(
        request,
        wait=partial(send, passing),
        finish=_streamed,
        after=partial(end_use, engine, begin_use(engine)),
    )


def _registered(operation: str) -> None:
    summary, taken, given = OPERATIONS[operation]
    body = {"type": "object"} if "json" in taken else {"type": "string", "format": "binary"}

    def use(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
        return _through(request, variant_id, operation)

    use.__name__ = operation
    use.__doc__ = "What the engine takes and gives, by its own contract; streamed."
    endpoint(
        router,
        "POST",
        f"/engines/{{variant_id}}/{operation}",
        response=Any,
        role=User.Role.OPERATOR,
        errors=[400, 404, 409, 502, 503, 504],
        summary=summary,
        operation_id=f"use_{operation}",
        extra={
            "requestBody": {"required": True, "content": {taken: {"schema": body}}},
            "x-gives": given,
        },
    )(use)


for name in OPERATIONS:
    _registered(name)
