"""Reading what callers send: keys in camelCase or snake_case, wrong types named."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request

from abm_engine.engine import Reject
from abm_engine.wav import NotWav, Sound, TooLong, read_wav

MAX_SOUND = 200_000_000
MAX_TEXT_BODY = 2_000_000
MAX_SOUND_BODY = MAX_SOUND * 4 // 3 + MAX_TEXT_BODY
SAMPLE_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}\Z")
FULL = "The disk of the samples folder is full or cannot be written: "


class Invalid(Exception):
    """A body that is not of the right shape: answered with 422, in the shape of the contract."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        place = ["body", *field.split(".")] if field else ["body"]
        self.detail = [{"type": "value_error", "loc": place, "msg": message}]


async def body_of(request: Request, limit: int) -> bytes:
    """The body, or 413. The rest of one that is too large is read away, so that its sender,
    who is still writing, lives to read the answer."""
    chunks, total = [], 0
    async for chunk in request.stream():
        total += len(chunk)
        if total <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
    if total > limit:
        raise Reject(413, f"The body is larger than {limit // 1_000_000} MB")
    return b"".join(chunks)


def object_of(body: bytes) -> dict[str, Any]:
    """A JSON object with snake_case keys; null means the same as leaving a key out."""
    try:
        values = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Invalid("", "The body is not JSON") from None
    if not isinstance(values, dict):
        raise Invalid("", "The body is not an object")
    return {key: value for key, value in snake_keys(values).items() if value is not None}


def snake_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {re.sub(r"(?<!^)([A-Z])", r"_\1", key).lower(): value for key, value in values.items()}


def text_in(values: dict[str, Any], name: str, default: str | None = None) -> str:
    value = values.get(name, default)
    if value is None:
        raise Invalid(name, "Field required")
    if not isinstance(value, str):
        raise Invalid(name, "Input should be a valid string")
    # Half of a character pair is valid JSON, but no text that anything could speak or answer.
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Invalid(name, "Input should be a valid string, without lone surrogates")
    return value


def number_in(values: dict[str, Any], name: str, default: int) -> int:
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(name, "Input should be a valid integer")
    return value


def flag_in(values: dict[str, Any], name: str, *, default: bool) -> bool:
    value = values.get(name, default)
    if not isinstance(value, bool):
        raise Invalid(name, "Input should be a valid boolean")
    return value


def object_in(values: dict[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name, {})
    if not isinstance(value, dict):
        raise Invalid(name, "Input should be a valid dictionary")
    return value


def texts_in(values: dict[str, Any], name: str) -> list[str]:
    """A list of texts."""
    found = values.get(name)
    if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
        raise Invalid(name, "Input should be a list of strings")
    return found


def samples_in(values: dict[str, Any]) -> list[str]:
    """The speaker samples of /generate: one name, a list of names, or empty for none."""
    if isinstance(values.get("tts_speaker_wav"), list):
        return [name for name in texts_in(values, "tts_speaker_wav") if name]
    name = text_in(values, "tts_speaker_wav")
    return [name] if name else []


def thresholds_in(values: dict[str, Any]) -> dict[str, float]:
    """`quality_thresholds` with snake_case keys; every value is a number."""
    given = snake_keys(object_in(values, "quality_thresholds"))
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise Invalid(f"quality_thresholds.{name}", "Input should be a valid number")
    return given


def rules_in(values: dict[str, Any]) -> list[dict[str, Any]]:
    """`pronunciation_rules` with snake_case keys, the active ones."""
    given = values.get("pronunciation_rules", [])
    if not isinstance(given, list) or not all(isinstance(rule, dict) for rule in given):
        raise Invalid("pronunciation_rules", "Input should be a list of rules")
    rules = [snake_keys(rule) for rule in given]
    for rule in rules:
        text_in(rule, "pattern")
        text_in(rule, "replacement")
        flag_in(rule, "is_regex", default=False)
    return [rule for rule in rules if flag_in(rule, "is_active", default=True)]


def samples_folder() -> Path:
    return Path(os.environ.get("SAMPLES_DIR", "/app/samples"))


def sample_file(sample: str) -> Path:
    """Where a speaker sample lies; only names without any path are taken."""
    if not SAMPLE_ID.match(sample):
        raise Reject(400, f"Invalid sample ID format: {sample[:100]}")
    name = sample if sample.lower().endswith(".wav") else f"{sample}.wav"
    return samples_folder() / name


def write_sample(sample: str, data: bytes) -> None:
    """Keep a speaker sample; the old one stays if the new one cannot be written."""
    file = sample_file(sample)
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Reject(507, f"{FULL}{error.strerror}") from error


def checked_sound(data: bytes, *, longest: float | None = None) -> Sound:
    """The recording in `data`, at most `longest` seconds of it."""
    if len(data) < 44:
        raise Reject(400, "The audio is empty or too small to be a WAV file")
    try:
        return read_wav(data, longest=longest)
    except NotWav as error:
        raise Reject(400, f"The audio is not a WAV file that can be read: {error}") from error
    except TooLong as error:
        text = f"The audio is {error.seconds:.0f} s long; the most is {longest:g} s"
        raise Reject(400, text) from error


def sound_in(values: dict[str, Any]) -> Callable[[], bytes]:
    """What fetches the bytes of `audio_base64` or `audio_path`, to be called in a thread."""
    if values.get("audio_base64"):
        encoded = text_in(values, "audio_base64")
        return lambda: _decoded(encoded)
    if values.get("audio_path"):
        path = text_in(values, "audio_path")
        return lambda: _read_below_samples(path)
    raise Reject(400, "Either audioBase64 or audioPath must be provided")


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded)
    except ValueError:
        raise Reject(400, "audioBase64 is not base64") from None


def _read_below_samples(path: str) -> bytes:
    folder = samples_folder().resolve()
    try:
        file = (folder / path).resolve()
        if folder not in file.parents:
            raise Reject(400, f"audioPath must lie below the samples folder {folder}")
        if file.is_file() and file.stat().st_size > MAX_SOUND:
            raise Reject(413, f"The audio is larger than {MAX_SOUND // 1_000_000} MB")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise Reject(404, f"Audio file not found: {path[:200]}") from error
