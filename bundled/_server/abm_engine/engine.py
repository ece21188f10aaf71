"""What an engine is: its definition, its model, and the one thing that it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from abm_engine.wav import Sound


class Reject(Exception):
    """The caller asked for something that cannot be done; `status` is the HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Engine:
    """Subclass it with `load` and the method of its type; all run in one worker thread.

    `definition` is engine.yaml. Raise Reject for what the caller did wrong; anything else is an
    error of the engine and makes /health say `error` until the next call that succeeds.
    """

    def __init__(self, folder: Path) -> None:
        self.definition: dict[str, Any] = yaml.safe_load((folder / "engine.yaml").read_text())
        self.version = str((self.definition.get("abm") or {}).get("version", ""))

    @property
    def type(self) -> str:
        return str(self.definition["engine_type"])

    @property
    def models(self) -> list[dict[str, Any]]:
        return list(self.definition.get("models") or [])

    def load(self, model: str) -> None:
        """Make `model` ready, letting go of another one first."""
        raise NotImplementedError

    def speak(self, text: str, language: str, parameters: dict[str, Any]) -> bytes:
        """A WAV of the spoken text (type tts)."""
        raise NotImplementedError

    def transcribe(self, sound: Sound, language: str) -> dict[str, Any]:
        """`{text, language, segments: [{text, start, end}]}`, seconds (type stt)."""
        raise NotImplementedError

    def analyze(self, sound: Sound, request: dict[str, Any]) -> dict[str, Any]:
        """`{qualityScore, qualityStatus, details}` (types stt and audio)."""
        raise NotImplementedError

    def segment(self, text: str, language: str, longest: int) -> list[tuple[int, int]]:
        """(start, end) of each segment in `text`, in characters (type text).

        Whole sentences, as many as fit into `longest`; one that alone is longer stays whole.
        """
        raise NotImplementedError

    def options(self, parameter: str) -> list[Any]:
        """The values that a parameter may have; empty where its range says all."""
        listed = (self.definition.get("abm") or {}).get("options") or {}
        return list(listed.get(parameter) or [])

    def limit(self, name: str) -> Any:
        """A number of the definition's constraints, or None."""
        return (self.definition.get("constraints") or {}).get(name)


def quality_status(score: float) -> str:
    """The word for a score of 0 to 100, as the contract cuts it."""
    return "perfect" if score >= 85 else "warning" if score >= 70 else "defect"
