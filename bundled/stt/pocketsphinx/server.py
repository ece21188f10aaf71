"""PocketSphinx behind the engine contract: hears English, with the model of its wheel."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from abm_engine import Engine, Sound, serve
from abm_engine.engine import quality_status
from pocketsphinx import Decoder

RATE, FRAMES_A_SECOND = 16_000, 100
PAUSE_SECONDS = 0.6
FILLERS = ("<s>", "</s>", "<sil>", "[NOISE]", "[SPEECH]")


class PocketSphinx(Engine):
    """Recognises speech with a statistical model: small, and far from what large models hear."""

    decoder: Decoder

    def load(self, model: str) -> None:
        self.decoder = Decoder(samprate=float(RATE), cmn="batch", loglevel="ERROR")

    def _words(self, sound: Sound) -> list[tuple[str, float, float]]:
        """(word, start, end) of each word heard, in seconds."""
        decoder = self.decoder
        decoder.start_utt()
        decoder.process_raw(sound.at(RATE).pcm16(), full_utt=True)
        decoder.end_utt()
        if decoder.hyp() is None:
            return []
        return [
            (
                re.sub(r"\(\d+\)$", "", segment.word),
                segment.start_frame / FRAMES_A_SECOND,
                (segment.end_frame + 1) / FRAMES_A_SECOND,
            )
            for segment in decoder.seg()
            if segment.word not in FILLERS
        ]

    def transcribe(self, sound: Sound, language: str) -> dict[str, Any]:
        words = self._words(sound)
        segments: list[dict[str, Any]] = []
        for word, start, end in words:
            if segments and start - segments[-1]["end"] < PAUSE_SECONDS:
                segments[-1]["text"] += f" {word}"
                segments[-1]["end"] = end
            else:
                segments.append({"text": word, "start": start, "end": end})
        text = " ".join(word for word, *_ in words)
        return {"text": text, "language": language, "segments": segments}

    def analyze(self, sound: Sound, request: dict[str, Any]) -> dict[str, Any]:
        words = self._words(sound)
        heard = " ".join(word for word, *_ in words)
        # Its posteriors are close to 1 for whatever it hears, so they say nothing of quality.
        covered = 100 * sum(end - start for _, start, end in words) / sound.seconds
        expected = str(request.get("expected_text") or "")
        fields = [
            {"key": "recognisedSpeech", "value": round(covered, 1), "type": "percent"},
            {"key": "duration", "value": round(sound.seconds, 2), "type": "seconds"},
            {"key": "words", "value": len(words), "type": "number"},
            {"key": "heard", "value": heard, "type": "string"},
        ]
        score = min(100.0, covered)
        if expected:
            score = 100 * likeness(expected, heard)
            row = {"key": "likeness", "value": round(score, 1), "type": "percent"}
            fields.insert(0, row)
        notes = []
        if not words:
            row = {"text": "No speech was recognised.", "severity": "error", "details": {}}
            notes.append(row)
        return {
            "qualityScore": round(score),
            "qualityStatus": quality_status(score),
            "details": {
                "topLabel": "likeness" if expected else "recognisedSpeech",
                "fields": fields,
                "infoBlocks": {"speech": notes} if notes else {},
            },
        }


def likeness(expected: str, heard: str) -> float:
    """How much of two texts agrees, word by word, 0 to 1."""
    left, right = (re.findall(r"[\w']+", text.lower()) for text in (expected, heard))
    return SequenceMatcher(None, left, right).ratio()


if __name__ == "__main__":
    serve(PocketSphinx(Path(__file__).parent))
