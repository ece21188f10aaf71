"""The functional test: ask an engine to do once what its type is for, and judge the answer."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from engines.client import EngineClient, EngineRefused
from engines.links.way import way_to
from engines.models import Engine
from engines.sound import NotWav, peak, read_wav
from hosts.runners.base import EngineFailed

PHRASE_FILE = Path(__file__).parent / "data" / "phrase.wav"
PHRASE = "Good morning. This is a test of the speech engine."
RECORDED = ["one", "two", "three", "four", "five", "six"]
"""What is said in the file: words that also small engines hear."""
DIGITS = dict(zip("123456", RECORDED, strict=True))
QUIET = 0.01


def functional_test(engine: Engine) -> str:
    """Run the test of the engine's type; return what was found, or raise EngineFailed."""
    test = TESTS[engine.engine_type]
    started = time.monotonic()
    with EngineClient(way_to(engine)) as client:
        said = test(engine, client)
    return f"{said} ({time.monotonic() - started:.2f} s)"


def default_language(engine: Engine) -> str:
    """The user's, else English where it is spoken, else the first it names."""
    languages = [str(code) for code in engine.definition.get("supported_languages") or []]
    if engine.default_language:
        return engine.default_language
    return "en" if "en" in languages or not languages else languages[0]


def _speak(engine: Engine, client: EngineClient) -> str:
    body: dict[str, Any] = {
        "text": PHRASE,
        "language": default_language(engine),
        "ttsSpeakerWav": "",
        "parameters": engine.parameters,
    }
    answer = client.post("/generate", timeout=settings.ENGINE_HTTP_TIMEOUT, json=body)
    try:
        wav = read_wav(answer.content)
    except NotWav as error:
        raise EngineFailed(f"{engine} answered, but not with a WAV file: {error}.") from error
    if wav.seconds < 0.5:
        raise EngineFailed(f"{engine} answered with only {wav.seconds:.2f} s of sound.")
    if peak(answer.content) < QUIET:
        raise EngineFailed(f"{engine} answered with {wav.seconds:.1f} s of silence.")
    return f"It spoke a sentence: {wav.seconds:.1f} s of sound at {wav.rate / 1000:g} kHz."


def _transcribe(engine: Engine, client: EngineClient) -> str:
    try:
        answer = client.post(
            "/transcribe",
            timeout=settings.ENGINE_HTTP_TIMEOUT,
            content=PHRASE_FILE.read_bytes(),
            headers={"content-type": "audio/wav"},
        )
    except EngineRefused as refusal:
        if refusal.status not in (404, 405):
            raise
        return _analyze(engine, client)
    text = str(answer.json().get("text", "")).strip()
    words = [DIGITS.get(word, word) for word in re.findall(r"[a-z]+|[1-6]", text.lower())]
    understood = sum(word in words for word in RECORDED)
    if understood < len(RECORDED) / 2:
        raise EngineFailed(
            f"{engine} heard “{text[:200]}” in a recording of “{' '.join(RECORDED)}”."
        )
    return f"It heard {understood} of {len(RECORDED)} words: “{text[:200]}”."


def _segment(engine: Engine, client: EngineClient) -> str:
    body = {
        "text": f"{PHRASE} It has three sentences.",
        "language": default_language(engine),
        "maxLength": 40,
    }
    answer = client.post("/segment", timeout=settings.ENGINE_HTTP_TIMEOUT, json=body).json()
    segments = answer.get("segments") or []
    if not segments:
        raise EngineFailed(f"{engine} found no segments in a text of three sentences.")
    return f"It cut a text of three sentences into {len(segments)} segments."


def _analyze(engine: Engine, client: EngineClient) -> str:
    body = {"audioBase64": base64.b64encode(PHRASE_FILE.read_bytes()).decode("ascii")}
    answer = client.post("/analyze", timeout=settings.ENGINE_HTTP_TIMEOUT, json=body).json()
    if "qualityScore" not in answer:
        raise EngineFailed(f"{engine} answered without a quality score.")
    return f"It scored a clear recording {answer['qualityScore']} of 100."


TESTS: dict[str, Callable[[Engine, EngineClient], str]] = {
    "tts": _speak,
    "stt": _transcribe,
    "text": _segment,
    "audio": _analyze,
}
