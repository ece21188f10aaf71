"""The rules of the contract that hold for one type of engine."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

from engines.conform_asking import Asker, Finding, missing, phrase
from engines.functional import PHRASE_FILE
from engines.sound import NotWav, read_wav

SAMPLE = "abm-conform"
TEXT = "This is one sentence. Here is another one, which is longer. And a third."


def smallest_call(kind: str, language: str) -> tuple[str, dict[str, Any]]:
    """Path and body of the least that can be asked of an engine of this type."""
    if kind == "tts":
        return "/generate", {"text": "Hello there.", "language": language, "ttsSpeakerWav": ""}
    if kind == "text":
        return "/segment", {"text": TEXT, "language": language, "maxLength": 60}
    return "/analyze", {"audioBase64": phrase(), "language": language}


def speech(asker: Asker, info: dict[str, Any], language: str) -> Iterator[Finding]:
    """Type tts: /samples/upload, /samples/check and /generate."""
    yield from _samples(asker)
    path, body = smallest_call("tts", language)
    if (info.get("capabilities") or {}).get("supports_speaker_cloning"):
        body["ttsSpeakerWav"] = f"{SAMPLE}.wav"
    said = asker.post(path, body)
    try:
        seconds = read_wav(said.content).seconds
        yield Finding("/generate answers with a WAV", seconds > 0.2, f"{seconds:.2f} s of sound")
    except NotWav as error:
        yield Finding("/generate answers with a WAV", False, f"{error}: {said}")
    yield Finding(
        "it is sent as audio/wav", "audio/" in said.kind and "wav" in said.kind, said.kind
    )
    snake = {"text": "Hello.", "language": language, "tts_speaker_wav": body["ttsSpeakerWav"]}
    yield asker.status("snake_case keys count too", path, snake, 200)
    yield from _text_rules(asker, path, body, info)
    bad = {**body, "ttsSpeakerWav": "../../etc/passwd"}
    yield asker.status("a speaker sample with a path is 400", path, bad, 400)
    bad = {**body, "ttsSpeakerWav": "no-such-sample.wav"}
    yield asker.status("an unknown speaker sample is 404", path, bad, 404)


def _samples(asker: Asker) -> Iterator[Finding]:
    said = asker.ask("POST", f"/samples/upload/{SAMPLE}", content=PHRASE_FILE.read_bytes())
    is_kept = said.values.get("status") == "ok" and said.values.get("sampleId") == SAMPLE
    yield Finding("/samples/upload keeps a sample", is_kept, str(said))
    said = asker.post("/samples/check", {"sampleIds": [SAMPLE, "no-such-sample"]})
    is_right = said.values.get("missing") == ["no-such-sample"]
    yield Finding("/samples/check lists the missing ones", is_right, str(said))
    yield asker.status(
        "a sample id with a path is 400", "/samples/check", {"sampleIds": ["a/b"]}, 400
    )
    said = asker.ask("POST", f"/samples/upload/{SAMPLE}", content=b"")
    yield Finding("an empty upload is 400", said.status == 400, str(said))


def _text_rules(
    asker: Asker, path: str, body: dict[str, Any], info: dict[str, Any]
) -> Iterator[Finding]:
    yield asker.status("empty text is 400", path, {**body, "text": "  "}, 400)
    lacking = {key: value for key, value in body.items() if key != "text"}
    yield asker.status("no text is 422", path, lacking, 422)
    yield asker.status("text that is a number is 422", path, {**body, "text": 5}, 422)
    limit = (info.get("constraints") or {}).get("max_text_length")
    if isinstance(limit, int):
        long = {**body, "text": ("word " * (limit // 5 + 1))[: limit + 1]}
        yield asker.status("text over the limit is 400", path, long, 400)


def hearing(asker: Asker, info: dict[str, Any], language: str) -> Iterator[Finding]:
    """Type stt: /analyze, and /transcribe where it is offered."""
    yield from analysis(asker, info, language)
    body = {"content": PHRASE_FILE.read_bytes(), "headers": {"content-type": "audio/wav"}}
    said = asker.ask("POST", f"/transcribe?language={language}", **body)
    rule = "/transcribe answers with text, language and segments"
    if said.status in (404, 405):
        yield Finding(rule, True, "not offered; it is abm's addition", is_skipped=True)
        return
    segments = said.values.get("segments")
    is_right = isinstance(said.values.get("text"), str) and isinstance(segments, list)
    is_whole = is_right and not missing(said.values, "language")
    yield Finding(rule, is_whole, str(said))
    rows = segments if isinstance(segments, list) else []
    broken = [row for row in rows if missing(row, "text", "start", "end")]
    yield Finding("each segment has text, start and end", is_right and not broken, str(broken[:1]))
    said = asker.ask("POST", "/transcribe", content=b"not a recording" * 9)
    yield Finding("/transcribe of something else is 400", said.status == 400, str(said))


def analysis(asker: Asker, info: dict[str, Any], language: str) -> Iterator[Finding]:
    """Types stt and audio: /analyze."""
    path, body = smallest_call("audio", language)
    said = asker.post(path, body)
    lacks = missing(said.values, "engineType", "engineName", "qualityScore", "details")
    yield Finding("/analyze has its fields", not lacks, f"missing: {lacks}; {said}")
    score = said.values.get("qualityScore")
    is_score = isinstance(score, int | float) and 0 <= score <= 100
    yield Finding("qualityScore is from 0 to 100", is_score, str(score))
    word = said.values.get("qualityStatus")
    is_word = word in ("perfect", "warning", "defect")
    yield Finding("qualityStatus is perfect, warning or defect", is_word, str(word))
    details = said.values.get("details")
    yield Finding("details can be shown", _are_details(details), str(details)[:200])
    yield from _bad_sounds(asker, path)


def _are_details(details: Any) -> bool:
    if not isinstance(details, dict):
        return False
    fields, blocks = details.get("fields"), details.get("infoBlocks") or {}
    if not isinstance(fields, list) or not isinstance(blocks, dict):
        return False
    notes = [note for block in blocks.values() for note in (block or [])]
    has_fields = not any(missing(row, "key", "value", "type") for row in fields)
    return has_fields and not any(missing(note, "text", "severity") for note in notes)


def _bad_sounds(asker: Asker, path: str) -> Iterator[Finding]:
    yield asker.status("/analyze without audio is 400", path, {}, 400)
    for what, content in (
        ("something else", b"not a recording" * 9),
        ("fewer than 44 bytes", b"RIFF"),
    ):
        body = {"audioBase64": base64.b64encode(content).decode()}
        yield asker.status(f"/analyze of {what} is 400", path, body, 400)
    body = {"audioPath": "no-such-file-here.wav"}
    yield asker.status("/analyze of a file that is not there is 404", path, body, 404)
    said = asker.post(path, {"audioPath": "/etc/hostname"})
    yield Finding("files elsewhere are not read", said.status in (400, 404), str(said))


def segments(asker: Asker, info: dict[str, Any], language: str) -> Iterator[Finding]:
    """Type text: /segment."""
    path, body = smallest_call("text", language)
    said = asker.post(path, body)
    found = said.values.get("segments")
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    yield Finding("/segment gives segments", len(rows) > 1, str(said))
    names = ("text", "start", "end", "orderIndex", "status")
    lacks = next((missing(row, *names) for row in rows if missing(row, *names)), "")
    yield Finding("each segment has its fields", bool(rows) and not lacks, f"missing: {lacks}")
    order = [row.get("orderIndex") for row in rows]
    yield Finding("they are in order from 0", order == list(range(len(rows))), str(order))
    fit = all(TEXT[_place(row, "start") : _place(row, "end")] == row.get("text") for row in rows)
    yield Finding("start and end name the place in the text", bool(rows) and fit, str(rows)[:200])
    is_total = said.values.get("totalSegments") == len(rows)
    yield Finding("totalSegments counts them", is_total, str(said.values.get("totalSegments")))
    said = asker.post(path, {**body, "text": f"{'word ' * 20}end.", "maxLength": 60})
    is_told = said.values.get("failedCount") == 1
    yield Finding("a sentence that is too long is marked as failed", is_told, str(said))
    yield from _text_rules(asker, path, body, info)
    yield asker.status("a maxLength of 0 is 400", path, {**body, "maxLength": 0}, 400)
    bad = {**body, "minLength": 90}
    yield asker.status("a minLength above maxLength is 400", path, bad, 400)


def _place(row: dict[str, Any], name: str) -> int:
    value = row.get(name)
    return value if isinstance(value, int) else 0


BY_TYPE: dict[str, Callable[[Asker, dict[str, Any], str], Iterator[Finding]]] = {
    "tts": speech,
    "stt": hearing,
    "text": segments,
    "audio": analysis,
}
