"""The HTTP contract around an Engine: its endpoints, in the order of the contract."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abm_engine.describe import info_of, models_of
from abm_engine.engine import Engine, Reject
from abm_engine.requests import (
    MAX_SOUND,
    MAX_SOUND_BODY,
    MAX_TEXT_BODY,
    body_of,
    checked_sound,
    flag_in,
    number_in,
    object_in,
    object_of,
    rules_in,
    sample_file,
    samples_in,
    sound_in,
    text_in,
    texts_in,
    thresholds_in,
    write_sample,
)
from abm_engine.work import Work

END_SECONDS = 1.0


class Contract:
    """The endpoints of one engine. Reading bodies and sounds keeps off the loop's thread, so
    that /health answers at once whatever else is asked."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.work = Work()
        self.end: Callable[[], None] = lambda: None

    def routes(self) -> list[Route]:
        posts = {
            "tts": {
                "/generate": self.generate,
                "/samples/check": self.check_samples,
                "/samples/upload/{sample:path}": self.upload_sample,
            },
            "stt": {"/analyze": self.analyze, "/transcribe": self.transcribe},
            "text": {"/segment": self.segment},
            "audio": {"/analyze": self.analyze},
        }[self.engine.type]
        posts = {"/load": self.load, "/shutdown": self.shutdown, **posts}
        gets = {"/health": self.health, "/models": self.models, "/info": self.info}
        return [
            *(Route(path, answer, methods=["GET"]) for path, answer in gets.items()),
            *(Route(path, answer, methods=["POST"]) for path, answer in posts.items()),
        ]

    async def health(self, request: Request) -> Response:
        return JSONResponse(
            {
                "status": self.work.status,
                "engineModelLoaded": self.work.model is not None,
                "currentEngineModel": self.work.model,
                "device": "cpu",
                "error": self.work.error,
                "packageVersion": self.engine.version or None,
                "gpuMemoryUsedMb": None,
                "gpuMemoryTotalMb": None,
            }
        )

    async def models(self, request: Request) -> Response:
        return JSONResponse(models_of(self.engine.definition))

    async def info(self, request: Request) -> Response:
        return JSONResponse(info_of(self.engine.definition))

    async def load(self, request: Request) -> Response:
        name = text_in(await _object(request), "engine_model_name")
        names = [str(model["name"]) for model in self.engine.models]
        if name not in names:
            raise Reject(404, f"Model not found: {name[:200]}. There is: {', '.join(names)}")
        await self.work.load(name, lambda: self.engine.load(name))
        return JSONResponse({"status": "loaded", "engineModelName": name, "error": None})

    async def shutdown(self, request: Request) -> Response:
        """Answers first; the end waits for nothing that runs."""
        asyncio.get_running_loop().call_later(0.1, self.end)
        last = threading.Timer(END_SECONDS, os._exit, [0])
        last.daemon = True
        last.start()
        return JSONResponse({"status": "shutting_down"})

    async def generate(self, request: Request) -> Response:
        values = await _object(request)
        text, language = text_in(values, "text"), text_in(values, "language")
        samples, parameters = samples_in(values), object_in(values, "parameters")
        self.work.require_ready()
        self._check_text(text, language)
        for sample in samples:
            if not sample_file(sample).is_file():
                raise Reject(404, f"Speaker sample not found: {sample}")
        what = f"Speaking {len(text)} characters"
        wav = await self.work.do(what, lambda: self.engine.speak(text, language, parameters))
        return Response(wav, media_type="audio/wav")

    async def check_samples(self, request: Request) -> Response:
        wanted = texts_in(await _object(request), "sample_ids")
        return JSONResponse({"missing": [x for x in wanted if not sample_file(x).is_file()]})

    async def upload_sample(self, request: Request) -> Response:
        sample = str(request.path_params["sample"])
        sample_file(sample)
        data = await body_of(request, MAX_SOUND)
        if not data:
            raise Reject(400, "The body is empty")
        await asyncio.to_thread(checked_sound, data)
        await asyncio.to_thread(write_sample, sample, data)
        return JSONResponse({"status": "ok", "sampleId": sample})

    async def analyze(self, request: Request) -> Response:
        values = await _object(request, MAX_SOUND_BODY)
        asked = {
            "language": text_in(values, "language", "en"),
            "quality_thresholds": thresholds_in(values),
            "expected_text": text_in(values, "expected_text", ""),
            "pronunciation_rules": rules_in(values),
        }
        self.work.require_ready()
        fetch, longest = sound_in(values), self.engine.limit("max_audio_duration")
        self._check_language(str(asked["language"]))

        def judge() -> dict[str, Any]:
            return self.engine.analyze(checked_sound(fetch(), longest=longest), asked)

        found = await self.work.do("Analysing a recording", judge)
        name = {"engineType": self.engine.type, "engineName": self.engine.definition["name"]}
        return JSONResponse({**name, **found})

    async def transcribe(self, request: Request) -> Response:
        language = request.query_params.get("language") or "en"
        data = await body_of(request, MAX_SOUND)
        self.work.require_ready()
        self._check_language(language)
        longest = self.engine.limit("max_audio_duration")

        def hear() -> dict[str, Any]:
            return self.engine.transcribe(checked_sound(data, longest=longest), language)

        return JSONResponse(await self.work.do("Transcribing a recording", hear))

    async def segment(self, request: Request) -> Response:
        values = await _object(request)
        text, language = text_in(values, "text"), text_in(values, "language")
        longest = number_in(values, "max_length", 250)
        shortest = number_in(values, "min_length", 10)
        marks = flag_in(values, "mark_oversized", default=True)
        self.work.require_ready()
        self._check_text(text, language)
        if not 0 < shortest <= longest:
            raise Reject(400, "minLength must be above 0 and not above maxLength")
        what = f"Cutting {len(text)} characters"
        places = await self.work.do(what, lambda: self.engine.segment(text, language, longest))
        rows = [_segment(text, place, index, longest, marks) for index, place in enumerate(places)]
        return JSONResponse(
            {
                "segments": rows,
                "totalSegments": len(rows),
                "totalCharacters": sum(row["length"] for row in rows),
                "failedCount": sum(row["status"] == "failed" for row in rows),
            }
        )

    def _check_text(self, text: str, language: str) -> None:
        limit = self.engine.limit("max_text_length")
        if not text.strip():
            raise Reject(400, "Text is empty")
        if limit and len(text) > limit:
            raise Reject(400, f"Text has {len(text)} characters; the most is {limit}")
        self._check_language(language)

    def _check_language(self, language: str) -> None:
        if not language.strip():
            raise Reject(400, "Language is empty")
        known = self.engine.definition.get("supported_languages") or []
        if known and language not in known:
            raise Reject(400, f"Language not supported: {language[:20]}")


async def _object(request: Request, limit: int = MAX_TEXT_BODY) -> dict[str, Any]:
    body = await body_of(request, limit)
    return await asyncio.to_thread(object_of, body) if len(body) > 65_536 else object_of(body)


def _segment(text: str, place: Any, index: int, longest: int, marks: bool) -> dict[str, Any]:
    start, end = place
    is_too_long = marks and end - start > longest
    return {
        "text": text[start:end],
        "start": start,
        "end": end,
        "orderIndex": index,
        "status": "failed" if is_too_long else "ok",
        "length": end - start,
        "maxLength": longest,
        "issue": "sentence_too_long" if is_too_long else None,
    }
