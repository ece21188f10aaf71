"""Reading what callers send: keys in camelCase or snake_case, wrong types named."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from pathlib import Path
from typing import Any

from starlette.requests import Request

from abm_engine.engine import Reject
from abm_engine.wav import NotWav, Sound, read_wav

MAX_BODY = 200_000_000
SAMPLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\Z")


class Invalid(Exception):
    """A body that is not of the right shape: answered with 422, in the shape of the contract."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.detail = [{"loc": ["body", field], "msg": message, "type": "value_error"}]


async def body_of(request: Request) -> bytes:
    """The body, refused with 413 as soon as it is too large."""
    chunks, total = [], 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > MAX_BODY:
            raise Reject(413, f"The body is larger than {MAX_BODY // 1_000_000} MB")
        chunks.append(chunk)
    return b"".join(chunks)


async def json_of(request: Request) -> dict[str, Any]:
    """The body as an object with snake_case keys."""
    try:
        values = json.loads(await body_of(request) or b"{}")
    except ValueError:
        raise Invalid("body", "The body is not JSON") from None
    if not isinstance(values, dict):
        raise Invalid("body", "The body is not an object")
    return {_snake(key): value for key, value in values.items()}


def _snake(key: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", key).lower()


def text_in(values: dict[str, Any], name: str, default: str | None = None) -> str:
    value = values.get(name, default)
    if value is None:
        raise Invalid(name, "Field required")
    if not isinstance(value, str):
        raise Invalid(name, "Input should be a valid string")
    return value


def number_in(values: dict[str, Any], name: str, default: int) -> int:
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(name, "Input should be a valid integer")
    return value


def object_in(values: dict[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name) or {}
    if not isinstance(value, dict):
        raise Invalid(name, "Input should be an object")
    return value


def samples_folder() -> Path:
    return Path(os.environ.get("SAMPLES_DIR", "/app/samples"))


def sample_file(sample: str) -> Path:
    """Where a speaker sample lies; only names without any path are taken."""
    if not SAMPLE_ID.match(sample):
        raise Reject(400, f"Invalid sample ID format: {sample[:100]}")
    name = sample if sample.lower().endswith(".wav") else f"{sample}.wav"
    return samples_folder() / name


def checked_sound(data: bytes) -> Sound:
    if len(data) < 44:
        raise Reject(400, "The audio is empty or too small to be a WAV file")
    try:
        return read_wav(data)
    except NotWav as error:
        raise Reject(400, f"The audio is not a WAV file: {error}") from error


def sound_in(values: dict[str, Any]) -> Sound:
    """From `audio_base64`, or `audio_path`, which must lie in the samples folder."""
    encoded, path = values.get("audio_base64"), values.get("audio_path")
    if encoded:
        try:
            return checked_sound(base64.b64decode(text_in(values, "audio_base64"), validate=True))
        except binascii.Error:
            raise Reject(400, "audioBase64 is not base64") from None
    if not path:
        raise Reject(400, "Either audioBase64 or audioPath is needed")
    folder = samples_folder().resolve()
    file = (folder / text_in(values, "audio_path")).resolve()
    if folder not in file.parents:
        raise Reject(400, f"audioPath must lie below the samples folder {folder}")
    if not file.is_file():
        raise Reject(404, f"Audio file not found: {path}")
    return checked_sound(file.read_bytes())
