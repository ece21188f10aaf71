"""Whether a running engine keeps the whole HTTP contract, asked from outside.

Source of the contract: Audiobook Maker's engine servers (engine.yaml, version 2), with
POST /transcribe as abm's own addition for speech to text.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError

from engines.client import tls
from engines.contract import Health, ModelList
from engines.functional import PHRASE_FILE
from engines.sound import NotWav, read_wav

LOAD_SECONDS = 300
CALL_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule of the contract and whether it holds; `text` says what was seen instead."""

    rule: str
    holds: bool
    text: str = ""


class Examination:
    """Asks one engine everything. `http` must have the engine's URL as its base."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self.info: dict[str, Any] = {}
        self.models = ModelList()

    def run(self) -> Iterator[Finding]:
        yield from self._description()
        kind = self.info.get("engineType")
        yield from self._before_load(str(kind))
        yield from self._load()
        checks: dict[str, Callable[[], Iterator[Finding]]] = {
            "tts": self._speech,
            "stt": self._hearing,
            "text": self._segments,
            "audio": self._analysis,
        }
        if str(kind) in checks:
            yield from checks[str(kind)]()
        yield self._status("an unknown path is 404", "GET", "/no-such-path", 404)

    def _description(self) -> Iterator[Finding]:
        answer = self._ask("GET", "/health")
        yield _parsed("/health has its fields", answer, Health)
        answer = self._ask("GET", "/info")
        self.info = _json(answer)
        wanted = {"name", "displayName", "engineType", "models", "parameters", "schemaVersion"}
        missing = sorted(wanted - set(self.info))
        yield Finding("/info has its fields", not missing, f"missing: {', '.join(missing)}")
        is_known = self.info.get("engineType") in ("tts", "stt", "text", "audio")
        yield Finding("engineType is a known one", is_known, str(self.info.get("engineType")))
        answer = self._ask("GET", "/models")
        found = _parsed("/models has its fields", answer, ModelList)
        yield found
        if found.holds:
            self.models = ModelList.model_validate_json(answer.content)
        yield Finding("there is a model", bool(self.models.models), "the list is empty")

    def _before_load(self, kind: str) -> Iterator[Finding]:
        health = _json(self._ask("GET", "/health"))
        if health.get("engineModelLoaded"):
            return
        path, body = {
            "tts": ("/generate", {"text": "a", "language": self._language, "ttsSpeakerWav": ""}),
            "text": ("/segment", {"text": "a b c.", "language": self._language}),
        }.get(kind, ("/analyze", {"audioBase64": _phrase()}))
        yield self._status(f"{path} before /load is 400", "POST", path, 400, json=body)

    def _load(self) -> Iterator[Finding]:
        yield self._status("/load without a name is 422", "POST", "/load", 422, json={})
        unknown = self._ask("POST", "/load", json={"engineModelName": "no-such-model-here"})
        yield Finding(
            "an unknown model is refused", unknown.is_error, f"status {unknown.status_code}"
        )
        name = self.models.default_model or (
            self.models.models[0].name if self.models.models else "default"
        )
        answer = self._ask("POST", "/load", json={"engineModelName": name})
        said = _json(answer)
        yield Finding(
            "/load answers when it is loaded",
            answer.status_code == 200 and said.get("status") == "loaded",
            answer.text[:200],
        )
        health = _json(self._ask("GET", "/health"))
        is_ready = health.get("status") == "ready" and health.get("engineModelLoaded") is True
        yield Finding("afterwards it is ready", is_ready, str(health)[:200])
        yield Finding(
            "/health names the model",
            health.get("currentEngineModel") == name,
            str(health.get("currentEngineModel")),
        )

    @property
    def _language(self) -> str:
        languages = self.info.get("supportedLanguages") or ["en"]
        return "en" if "en" in languages else str(languages[0])

    def _speech(self) -> Iterator[Finding]:
        body = {"text": "Hello there.", "language": self._language, "ttsSpeakerWav": ""}
        answer = self._ask("POST", "/generate", json=body)
        try:
            seconds = read_wav(answer.content).seconds
            yield Finding("/generate answers with a WAV", seconds > 0.2, f"{seconds:.2f} s")
        except NotWav as error:
            yield Finding("/generate answers with a WAV", False, f"{error}: {answer.text[:200]}")
        snake = {"text": "Hello.", "language": self._language, "tts_speaker_wav": ""}
        yield self._status("snake_case keys count too", "POST", "/generate", 200, json=snake)
        yield from self._text_rules("/generate", body)
        bad = {**body, "ttsSpeakerWav": "../../etc/passwd"}
        yield self._status("a sample with a path is 400", "POST", "/generate", 400, json=bad)
        answer = self._ask("POST", "/samples/check", json={"sampleIds": ["no-such-sample"]})
        missing = _json(answer).get("missing")
        yield Finding(
            "/samples/check lists missing ones", missing == ["no-such-sample"], str(missing)
        )

    def _text_rules(self, path: str, body: dict[str, Any]) -> Iterator[Finding]:
        yield self._status("empty text is 400", "POST", path, 400, json={**body, "text": "  "})
        yield self._status("no text is 422", "POST", path, 422, json={"language": "en"})
        limit = (self.info.get("constraints") or {}).get("max_text_length")
        if isinstance(limit, int):
            long = {**body, "text": "a " * (limit // 2 + 1)}
            yield self._status("text over the limit is 400", "POST", path, 400, json=long)

    def _hearing(self) -> Iterator[Finding]:
        yield from self._analysis()
        wav = PHRASE_FILE.read_bytes()
        headers = {"content-type": "audio/wav"}
        answer = self._ask("POST", "/transcribe", content=wav, headers=headers)
        said = _json(answer)
        yield Finding(
            "/transcribe answers with text and segments",
            isinstance(said.get("text"), str) and isinstance(said.get("segments"), list),
            answer.text[:200],
        )
        yield self._status(
            "/transcribe of something else is 400", "POST", "/transcribe", 400, content=b"x" * 99
        )

    def _analysis(self) -> Iterator[Finding]:
        answer = self._ask("POST", "/analyze", json={"audioBase64": _phrase(), "language": "en"})
        said = _json(answer)
        score = said.get("qualityScore")
        yield Finding(
            "/analyze scores from 0 to 100",
            isinstance(score, int | float) and 0 <= score <= 100,
            answer.text[:200],
        )
        status = said.get("qualityStatus")
        is_word = status in ("perfect", "warning", "defect")
        yield Finding("qualityStatus is a known word", is_word, str(status))
        yield self._status("/analyze without audio is 400", "POST", "/analyze", 400, json={})
        junk = base64.b64encode(b"not a recording" * 9).decode()
        body = {"audioBase64": junk}
        yield self._status("/analyze of something else is 400", "POST", "/analyze", 400, json=body)
        outside = self._ask("POST", "/analyze", json={"audioPath": "/etc/hostname"})
        is_refused = outside.status_code in (400, 404)
        yield Finding("files elsewhere are not read", is_refused, f"status {outside.status_code}")

    def _segments(self) -> Iterator[Finding]:
        text = "This is one sentence. Here is another one, which is longer. And a third."
        body = {"text": text, "language": self._language, "maxLength": 60}
        answer = self._ask("POST", "/segment", json=body)
        rows = _json(answer).get("segments") or []
        yield Finding("/segment gives segments", len(rows) > 1, answer.text[:200])
        fit = all(text[row["start"] : row["end"]] == row["text"] for row in rows)
        yield Finding("start and end name the place in the text", fit, str(rows)[:200])
        yield from self._text_rules("/segment", body)
        bad = {**body, "maxLength": 0}
        yield self._status("a maxLength of 0 is 400", "POST", "/segment", 400, json=bad)

    def _ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        seconds = LOAD_SECONDS if path == "/load" else CALL_SECONDS
        return self._http.request(method, path, timeout=seconds, **body)

    def _status(self, rule: str, method: str, path: str, wanted: int, **body: Any) -> Finding:
        answer = self._ask(method, path, **body)
        text = f"status {answer.status_code}: {answer.text[:150]}"
        return Finding(rule, answer.status_code == wanted, text)


def examine(url: str) -> list[Finding]:
    """Every finding for the engine at `url`; httpx.HTTPError if it does not answer."""
    with httpx.Client(base_url=url, verify=tls(), trust_env=False) as http:
        return list(Examination(http).run())


def _phrase() -> str:
    return base64.b64encode(PHRASE_FILE.read_bytes()).decode("ascii")


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _parsed(rule: str, answer: httpx.Response, shape: type[Health] | type[ModelList]) -> Finding:
    if answer.status_code != 200:
        return Finding(rule, False, f"status {answer.status_code}")
    try:
        shape.model_validate_json(answer.content)
    except ValidationError as error:
        return Finding(rule, False, str(error)[:300])
    return Finding(rule, True)
