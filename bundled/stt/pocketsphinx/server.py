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
        score = min(100.0, 100 * sum(end - start for _, start, end in words) / sound.seconds)
        fields: list[dict[str, Any]] = [
            {"key": "recognisedSpeech", "value": round(score, 1), "type": "percent"},
            {"key": "duration", "value": round(sound.seconds, 2), "type": "seconds"},
            {"key": "words", "value": len(words), "type": "number"},
            {"key": "heard", "value": heard, "type": "string"},
        ]
        notes: dict[str, list[dict[str, Any]]] = {}
        if not words:
            notes["speech"] = [_note("No speech was recognised.", "error")]
        if request["expected_text"]:
            alike, missed = compared(
                request["expected_text"], heard, request["pronunciation_rules"]
            )
            score = 100 * alike
            fields.insert(0, {"key": "likeness", "value": round(score, 1), "type": "percent"})
            if missed:
                notes["textDeviations"] = missed
        return {
            "qualityScore": round(score),
            "qualityStatus": quality_status(round(score)),
            "details": {
                "topLabel": "likeness" if request["expected_text"] else "recognisedSpeech",
                "fields": fields,
                "infoBlocks": notes,
            },
        }


def _note(text: str, severity: str, **details: str) -> dict[str, Any]:
    return {"text": text, "severity": severity, "details": details}


def compared(
    expected: str, heard: str, rules: list[dict[str, Any]]
) -> tuple[float, list[dict[str, Any]]]:
    """How much of two texts agrees, word by word, 0 to 1, and a note for each place where they
    differ. Words that a pronunciation rule changes sound otherwise than written: left out."""
    left, right = (re.findall(r"[\w']+", text.lower()) for text in (expected, heard))
    same, total, notes = 0, len(left) + len(right), []
    for kind, a, b, c, d in SequenceMatcher(None, left, right).get_opcodes():
        if kind == "equal":
            same += 2 * (b - a)
        elif any(_is_ruled(word, rules) for word in left[a:b]):
            total -= (b - a) + (d - c)
        else:
            wanted, found = " ".join(left[a:b]), " ".join(right[c:d])
            text = f"Expected “{wanted}”, heard “{found}”."
            notes.append(_note(text, "warning", expected=wanted, detected=found))
    return (same / total if total else 1.0), notes


def _is_ruled(word: str, rules: list[dict[str, Any]]) -> bool:
    """Whether one of the rules is about this word; a pattern that is none matches nothing."""
    for rule in rules:
        pattern = rule["pattern"]
        try:
            if not rule.get("is_regex"):
                pattern = rf"\b{re.escape(pattern)}\b"
            if re.search(pattern, word, re.IGNORECASE):
                return True
        except re.error:
            continue
    return False


if __name__ == "__main__":
    serve(PocketSphinx(Path(__file__).parent))
