"""Try it: use an engine once from its page. `trial_results` keeps what comes of it."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx
from django.conf import settings
from django.db.models import QuerySet

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from engines.client import (
    CONNECT_SECONDS,
    MAX_ANSWER_BYTES,
    AnswerTooLong,
    EngineRefused,
    read_refusal,
    shared_transport,
    whole_answer,
)
from engines.functional import default_language
from engines.idle import begin_use
from engines.links.way import reached
from engines.models import Engine
from engines.schema import validated_parameters
from engines.sound import NotWav, read_wav
from engines.state import require_running

DEFAULT_TEXT_LIMIT = 10_000

NEEDED = (
    *("host_id", "display_name", "engine_type", "state", "url"),
    *("definition", "parameters", "default_language"),
    *("host__host_type", "host__is_enabled", "host__state"),
)
"""Columns of an engine that a call needs; to read all hundred takes twice as long."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call to an engine, checked; `begin` finds the `url` that it is sent to."""

    engine: Engine
    user: User
    path: str
    kept: dict[str, Any]
    """What the trial remembers of the request."""
    json: dict[str, Any] | None = None
    content: bytes | None = None
    audio_seconds: float | None = None
    """Length of the recording that is sent."""
    busy_until: datetime | None = None
    """What `begin` wrote into the engine's row."""
    falls_back: Call | None = None
    """Asked instead when the engine does not know `path` (404 or 405)."""
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long the engine took, in seconds."""

    content: bytes
    content_type: str
    seconds: float


def to_be_tried() -> QuerySet[Engine]:
    """Engines with what a call needs of them; any other column is read when it is asked for."""
    return Engine.objects.select_related("host").only(*NEEDED)


def _require_running(engine: Engine, user: User) -> None:
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    require_running(engine, engine=engine.pk)


def _checked_text(engine: Engine, text: str) -> str:
    text = text.strip().replace("\x00", "")
    limit = (engine.definition.get("constraints") or {}).get("max_text_length")
    limit = limit if isinstance(limit, int) else DEFAULT_TEXT_LIMIT
    if not text:
        raise Refused("TEXT_EMPTY", f"Type something for {engine} first.", status=400)
    if len(text) > limit:
        raise Refused(
            "TEXT_TOO_LONG",
            f"The text has {len(text):,} characters; {engine} takes up to {limit:,}. Shorten it.",
            status=400,
            length=len(text),
            limit=limit,
        )
    return text


def _checked_language(engine: Engine, language: str) -> str:
    known = [str(code) for code in engine.definition.get("supported_languages") or []]
    language = language.strip() or default_language(engine)
    if known and language not in known:
        raise Refused(
            "LANGUAGE_UNKNOWN",
            f"{engine} does not know the language “{language[:20]}”. "
            f"It knows: {', '.join(known[:30])}.",
            status=400,
            language=language[:20],
        )
    return language


def seconds_of(data: bytes, *, name: str) -> float:
    """How long a WAV file sounds. Raises Refused WAV_INVALID with the reason if it is none."""
    try:
        return read_wav(data).seconds
    except NotWav as error:
        raise Refused(
            "WAV_INVALID",
            f"“{name[:80]}” is not a WAV file that can be read: {error}. "
            "Save the recording as WAV (PCM) and choose it again.",
            status=400,
        ) from error


def speech_call(
    engine: Engine,
    *,
    user: User,
    text: str,
    language: str = "",
    parameters: dict[str, Any] | None = None,
) -> Call:
    """Speak `text`. Raises Refused for bad text, language or parameters."""
    _require_running(engine, user)
    text, language = _checked_text(engine, text), _checked_language(engine, language)
    chosen = {**engine.parameters, **validated_parameters(engine, parameters or {})}
    return Call(
        engine,
        user,
        "/generate",
        kept={"text": text, "language": language, "parameters": chosen},
        json={"text": text, "language": language, "ttsSpeakerWav": "", "parameters": chosen},
    )


def segment_call(
    engine: Engine, *, user: User, text: str, language: str = "", max_length: int = 250
) -> Call:
    """Cut `text` into segments of at most `max_length` characters."""
    _require_running(engine, user)
    text, language = _checked_text(engine, text), _checked_language(engine, language)
    if not 20 <= max_length <= 5_000:
        raise Refused(
            "LENGTH_INVALID", "The longest segment may have 20 to 5,000 characters.", status=400
        )
    body = {"text": text, "language": language, "maxLength": max_length}
    return Call(engine, user, "/segment", kept=body, json={**body, "markOversized": True})


def sound_call(engine: Engine, *, user: User, wav: bytes, name: str, language: str = "") -> Call:
    """Transcribe a recording, or judge its quality where the engine only does that."""
    _require_running(engine, user)
    language = _checked_language(engine, language)
    seconds = seconds_of(wav, name=name)
    encoded = base64.b64encode(wav).decode("ascii")
    analyze = Call(
        engine,
        user,
        "/analyze",
        kept={"name": name, "language": language},
        json={"audioBase64": encoded, "language": language, **engine_thresholds(engine)},
        audio_seconds=seconds,
    )
    if engine.engine_type != "stt":
        return analyze
    return Call(
        engine,
        user,
        f"/transcribe?language={language}",
        kept={"name": name, "language": language},
        content=wav,
        audio_seconds=seconds,
        headers={"content-type": "audio/wav"},
        falls_back=analyze,
    )


def engine_thresholds(engine: Engine) -> dict[str, Any]:
    """Analysis engines take the user's parameters as `qualityThresholds`, camelCase."""
    chosen = {
        "".join(
            part if index == 0 else part.title() for index, part in enumerate(name.split("_"))
        ): value
        for name, value in engine.parameters.items()
    }
    return {"qualityThresholds": chosen} if chosen else {}


def begin(call: Call) -> Call:
    """Mark the engine as in use; to be called before `send`, where the database may be asked."""
    return replace(call, url=reached(call.engine), busy_until=begin_use(call.engine))


async def send(call: Call) -> Answer:
    """Ask the engine without holding a thread. Raises Refused with the engine's own words."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(settings.ENGINE_HTTP_TIMEOUT):
            response = await _asked(call)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise Refused(
            "ENGINE_TIMEOUT",
            f"{call.engine} did not answer within {settings.ENGINE_HTTP_TIMEOUT:g} s.",
            status=504,
        ) from error
    except httpx.HTTPError as error:
        raise Refused(
            "ENGINE_UNREACHABLE",
            f"{call.engine} stopped answering. Its Logs tab may say why.",
            status=502,
        ) from error
    if response.status_code in (404, 405) and call.falls_back is not None:
        return await send(replace(call.falls_back, url=call.url))
    if response.is_error:
        raise _refusal(call, read_refusal(response))
    return Answer(
        response.content,
        response.headers.get("content-type", ""),
        time.perf_counter() - started,
    )


async def _asked(call: Call) -> httpx.Response:
    """The engine's answer, read to its end. Raises Refused when that does not come."""
    asking = shared_transport().stream(
        "POST",
        call.url + call.path,
        json=call.json,
        content=call.content,
        headers=call.headers,
        timeout=httpx.Timeout(settings.ENGINE_HTTP_TIMEOUT, connect=CONNECT_SECONDS),
    )
    async with asking as response:
        try:
            return await whole_answer(response, most=MAX_ANSWER_BYTES)
        except AnswerTooLong as error:
            raise Refused(
                AnswerTooLong.code,
                f"{call.engine} answered with more than {MAX_ANSWER_BYTES / 1e6:g} MB, "
                "which abm does not keep. Try a shorter text.",
                status=502,
            ) from error


def _refusal(call: Call, refused: EngineRefused) -> Refused:
    status = refused.status if refused.status in (400, 404, 413, 422, 503) else 502
    return Refused("ENGINE_REFUSED", f"{call.engine} refused: {refused.message}", status=status)
