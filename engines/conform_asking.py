"""Asking an engine for the examination: every answer is kept, also one that never came."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from engines.client import MAX_ANSWER_BYTES, AnswerTooLong, ask
from engines.functional import PHRASE_FILE

LOAD_SECONDS = 300
CALL_SECONDS = 120
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule of the contract and whether it holds; `text` says what was seen instead."""

    rule: str
    holds: bool
    text: str = ""
    is_skipped: bool = False
    """The rule could not be asked here, or is abm's own and need not hold; `text` says why."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an engine answered. Status 0 means that it did not; then `text` says why."""

    status: int
    content: bytes = b""
    kind: str = ""
    text: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """The answer as an object; empty for anything else."""
        try:
            said = json.loads(self.content)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    def __str__(self) -> str:
        shown = "".join(letter for letter in self.text if letter.isprintable())[:SHOWN]
        return f"status {self.status}: {shown}" if self.status else shown


class Asker:
    """Asks one engine, and says what came of it as findings."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def ask(self, method: str, path: str, **body: Any) -> Said:
        """The answer; never raises, so that one broken call does not end the examination."""
        seconds = LOAD_SECONDS if path == "/load" else CALL_SECONDS
        try:
            answer = ask(self._http, method, path, seconds=seconds, most=MAX_ANSWER_BYTES, **body)
        except (httpx.HTTPError, AnswerTooLong) as error:
            return Said(0, text=f"no answer: {error or type(error).__name__}")
        kind = answer.headers.get("content-type", "")
        return Said(answer.status_code, answer.content, kind, answer.text[:SHOWN])

    def post(self, path: str, body: dict[str, Any]) -> Said:
        return self.ask("POST", path, json=body)

    def status(self, rule: str, path: str, body: dict[str, Any], wanted: int) -> Finding:
        """Whether a POST of `body` is answered with the status `wanted`, errors with a detail."""
        said = self.post(path, body)
        is_told = wanted < 400 or "detail" in said.values
        return Finding(rule, said.status == wanted and is_told, str(said))


@cache
def phrase() -> str:
    """The recording that abm brings along, in base64."""
    return base64.b64encode(PHRASE_FILE.read_bytes()).decode("ascii")


def missing(values: Any, *names: str) -> str:
    """The names that an object lacks, separated by commas; empty if it has all."""
    has = values if isinstance(values, dict) else {}
    return ", ".join(name for name in names if name not in has)
