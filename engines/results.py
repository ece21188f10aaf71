"""What engines answer, as a page shows it: segments, quality, and the same call by curl."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalog.words import readable_key, readable_label


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a text; `length` is in characters."""

    text: str
    length: int
    is_too_long: bool


@dataclass(frozen=True, slots=True)
class QualityField:
    """One measure of a recording in words."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that an analysis points out: `severity` is error, warning or info."""

    text: str
    severity: str


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a recording is: `score` from 0 to 100."""

    score: int | float
    status: str
    fields: tuple[QualityField, ...]
    notes: tuple[Note, ...]


def segments_of(result: Mapping[str, Any]) -> list[Segment]:
    """The segments of an answer of /segment; what is no segment is left out."""
    found = []
    for row in result.get("segments") or []:
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            continue
        text = row["text"]
        length = row.get("length")
        found.append(
            Segment(
                text,
                length if isinstance(length, int) else len(text),
                row.get("status") == "failed",
            )
        )
    return found


def quality_of(result: Mapping[str, Any]) -> Quality | None:
    """The judgement in an answer of /analyze; None if there is none."""
    score = result.get("qualityScore")
    if not isinstance(score, int | float):
        return None
    details = result.get("details")
    details = details if isinstance(details, dict) else {}
    rows = [row for row in details.get("fields") or [] if isinstance(row, dict)]
    blocks = details.get("infoBlocks")
    groups = blocks.values() if isinstance(blocks, dict) else []
    notes = [
        Note(_words(row.get("text")), str(row.get("severity", "info")))
        for group in groups
        if isinstance(group, list)
        for row in group
        if isinstance(row, dict)
    ]
    return Quality(
        score,
        _words(result.get("qualityStatus")).lower(),
        tuple(QualityField(_label(row.get("key")), _value(row)) for row in rows),
        tuple(notes),
    )


def _label(key: Any) -> str:
    key = str(key or "")
    return key if " " in key else readable_key(key)


def _words(text: Any) -> str:
    """Words of a label that may be a translation key of somebody's front end."""
    text = str(text or "")
    return readable_label(text, text) if text and " " not in text else text


def _value(row: Mapping[str, Any]) -> str:
    """A field's value with its unit, rounded as a person would."""
    value, kind = row.get("value"), row.get("type")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "—" if value is None else _words(value) if kind == "text" else str(value)
    number = f"{value:.2f}".rstrip("0").rstrip(".")
    if kind == "percent":
        return f"{number} %"
    return f"{number} s" if kind == "seconds" else number


def curl_of(url: str, path: str, request: Mapping[str, Any]) -> str:
    """The call as a line for a shell on the engine's machine."""
    if path == "/generate":
        body = {
            "text": request.get("text", ""),
            "language": request.get("language", ""),
            "ttsSpeakerWav": "",
            "parameters": request.get("parameters") or {},
        }
        tail = "--fail -o speech.wav"
    elif path == "/segment":
        body, tail = dict(request), ""
    else:
        language = request.get("language", "en")
        address = shlex.quote(f"{url}/transcribe?language={language}")
        return f"curl -H 'Content-Type: audio/wav' --data-binary @recording.wav {address}"
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    call = f"curl -H 'Content-Type: application/json' -d {data} {shlex.quote(url + path)}"
    return f"{call} {tail}".strip()
