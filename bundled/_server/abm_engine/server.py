"""The HTTP contract around an Engine. /health always answers at once; work runs one at a time."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abm_engine.describe import info_of, models_of
from abm_engine.engine import Engine, Reject
from abm_engine.requests import (
    Invalid,
    body_of,
    checked_sound,
    json_of,
    number_in,
    object_in,
    sample_file,
    sound_in,
    text_in,
)

T = TypeVar("T")
log = logging.getLogger("abm_engine")

LOADING = "Model loading in progress. Retry after loading completes."
END_SECONDS = 1.0


class Contract:
    """The endpoints of one engine and the state that /health tells."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.model: str | None = None
        self.is_loading = False
        self.working = 0
        self.error: str | None = None
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self.ended: Callable[[], None] = lambda: None

    def routes(self) -> list[Route]:
        always = [
            Route("/health", self.health),
            Route("/models", self.models),
            Route("/info", self.info),
            Route("/load", self.load, methods=["POST"]),
            Route("/shutdown", self.shutdown, methods=["POST"]),
        ]
        by_type = {
            "tts": [
                Route("/generate", self.generate, methods=["POST"]),
                Route("/samples/check", self.check_samples, methods=["POST"]),
                Route("/samples/upload/{sample}", self.upload_sample, methods=["POST"]),
            ],
            "stt": [
                Route("/analyze", self.analyze, methods=["POST"]),
                Route("/transcribe", self.transcribe, methods=["POST"]),
            ],
            "text": [Route("/segment", self.segment, methods=["POST"])],
            "audio": [Route("/analyze", self.analyze, methods=["POST"])],
        }
        return always + by_type[self.engine.type]

    @property
    def status(self) -> str:
        if self.is_loading:
            return "loading"
        if self.working:
            return "processing"
        return "error" if self.error else "ready"

    async def health(self, request: Request) -> Response:
        return JSONResponse(
            {
                "status": self.status,
                "engineModelLoaded": self.model is not None,
                "currentEngineModel": self.model,
                "device": "cpu",
                "error": self.error,
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
        name = text_in(await json_of(request), "engine_model_name")
        names = [str(model["name"]) for model in self.engine.models]
        if name not in names:
            raise Reject(404, f"Model not found: {name[:200]}. There is: {', '.join(names)}")
        if self.is_loading:
            raise Reject(503, LOADING)
        self.is_loading, self.model = True, None
        try:
            await self._in_thread(lambda: self.engine.load(name))
            self.model = name
        finally:
            self.is_loading = False
        return JSONResponse({"status": "loaded", "engineModelName": name, "error": None})

    async def shutdown(self, request: Request) -> Response:
        """Answers first; the end does not wait for a load."""
        asyncio.get_running_loop().call_later(0.1, self.ended)
        end = threading.Timer(END_SECONDS, os._exit, [0])
        end.daemon = True
        end.start()
        return JSONResponse({"status": "shutting_down"})

    async def generate(self, request: Request) -> Response:
        values = await json_of(request)
        text, language = text_in(values, "text"), text_in(values, "language")
        samples = values.get("tts_speaker_wav", "")
        parameters = object_in(values, "parameters")
        self._require_ready()
        self._check_text(text, language)
        for sample in [samples] if isinstance(samples, str) else list(samples or []):
            if sample and not sample_file(str(sample)).is_file():
                raise Reject(404, f"Speaker sample not found: {sample}")
        wav = await self._work(lambda: self.engine.speak(text, language, parameters))
        return Response(wav, media_type="audio/wav")

    async def check_samples(self, request: Request) -> Response:
        wanted = (await json_of(request)).get("sample_ids")
        if not isinstance(wanted, list):
            raise Invalid("sampleIds", "Input should be a list")
        missing = [name for name in wanted if not sample_file(str(name)).is_file()]
        return JSONResponse({"missing": missing})

    async def upload_sample(self, request: Request) -> Response:
        sample = request.path_params["sample"]
        file = sample_file(sample)
        data = await body_of(request)
        if not data:
            raise Reject(400, "The body is empty")
        checked_sound(data)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return JSONResponse({"status": "ok", "sampleId": sample})

    async def analyze(self, request: Request) -> Response:
        values = await json_of(request)
        thresholds = object_in(values, "quality_thresholds")
        sound = sound_in(values)
        self._require_ready()
        self._check_sound(sound.seconds)
        asked = {**values, "quality_thresholds": thresholds}
        found = await self._work(lambda: self.engine.analyze(sound, asked))
        name = {"engineType": self.engine.type, "engineName": self.engine.definition["name"]}
        return JSONResponse({**name, **found})

    async def transcribe(self, request: Request) -> Response:
        language = request.query_params.get("language") or "en"
        sound = checked_sound(await body_of(request))
        self._require_ready()
        self._check_language(language)
        self._check_sound(sound.seconds)
        return JSONResponse(await self._work(lambda: self.engine.transcribe(sound, language)))

    async def segment(self, request: Request) -> Response:
        values = await json_of(request)
        text, language = text_in(values, "text"), text_in(values, "language")
        longest = number_in(values, "max_length", 250)
        shortest = number_in(values, "min_length", 10)
        marks = values.get("mark_oversized", True) is True
        self._require_ready()
        self._check_text(text, language)
        if not 0 < shortest <= longest:
            raise Reject(400, "minLength must be above 0 and not above maxLength")
        places = await self._work(lambda: self.engine.segment(text, language, longest, shortest))
        rows = [_segment(text, place, index, longest, marks) for index, place in enumerate(places)]
        failed = sum(row["status"] == "failed" for row in rows)
        total = {"totalSegments": len(rows), "totalCharacters": len(text), "failedCount": failed}
        return JSONResponse({"segments": rows, **total})

    def _require_ready(self) -> None:
        """Refuses without touching the state: a call during a load does not disturb the load."""
        if self.is_loading:
            raise Reject(503, LOADING)
        if self.model is None:
            raise Reject(400, "Model not loaded")

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

    def _check_sound(self, seconds: float) -> None:
        limit = self.engine.limit("max_audio_duration")
        if limit and seconds > limit:
            raise Reject(400, f"The audio is {seconds:.0f} s long; the most is {limit} s")

    async def _work(self, call: Callable[[], T]) -> T:
        self.working += 1
        try:
            return await self._in_thread(call)
        finally:
            self.working -= 1

    async def _in_thread(self, call: Callable[[], T]) -> T:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self.pool, call)
        except (Reject, Invalid):
            raise
        except Exception as error:  # whatever a model raises is the engine's error, told by /health
            log.exception("the engine failed")
            self.error = f"{type(error).__name__}: {error}"
            raise Reject(500, self.error) from error
        self.error = None
        return result


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


async def _rejected(request: Request, error: Exception) -> Response:
    if isinstance(error, Invalid):
        return JSONResponse({"detail": error.detail}, status_code=422)
    if isinstance(error, Reject):
        return JSONResponse({"detail": error.detail}, status_code=error.status)
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else "Internal error"
    return JSONResponse({"detail": detail}, status_code=status)


def serve(engine: Engine) -> None:
    """Serve `engine` until /shutdown or a signal: `--port N [--host A]`, or PORT."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8766")))
    parser.add_argument("--host", default="127.0.0.1")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    contract = Contract(engine)
    handlers = dict.fromkeys((Reject, Invalid, HTTPException), _rejected)
    app = Starlette(routes=contract.routes(), exception_handlers=handlers)  # type: ignore[arg-type]
    config = uvicorn.Config(app, host=asked.host, port=asked.port, log_level="warning")
    server = uvicorn.Server(config)
    contract.ended = lambda: setattr(server, "should_exit", True)
    log.info("%s listens on %s:%s", engine.definition["name"], asked.host, asked.port)
    server.run()


def folder_of(file: str) -> Path:
    """The folder of a server.py."""
    return Path(file).resolve().parent
