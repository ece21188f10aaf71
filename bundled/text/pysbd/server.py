"""pySBD behind the engine contract: cuts a text at the ends of sentences, by rules."""

from __future__ import annotations

from pathlib import Path

import pysbd
from abm_engine import Engine, serve


class Pysbd(Engine):
    """Knows abbreviations, numbers and quotes of 22 languages; keeps every character's place."""

    cutters: dict[str, pysbd.Segmenter]

    def load(self, model: str) -> None:
        self.cutters = {}

    def segment(
        self, text: str, language: str, longest: int, shortest: int
    ) -> list[tuple[int, int]]:
        """Whole sentences, joined while they fit into `longest` characters."""
        segments: list[tuple[int, int]] = []
        for start, end in self._sentences(text, language):
            if segments and end - segments[-1][0] <= longest:
                segments[-1] = (segments[-1][0], end)
            else:
                segments.append((start, end))
        if len(segments) > 1 and segments[-1][1] - segments[-1][0] < shortest:
            start, end = segments[-2][0], segments[-1][1]
            if end - start <= longest:
                segments[-2:] = [(start, end)]
        return segments

    def _sentences(self, text: str, language: str) -> list[tuple[int, int]]:
        if language not in self.cutters:
            self.cutters[language] = pysbd.Segmenter(language=language, clean=False)
        found, place = [], 0
        for sentence in self.cutters[language].segment(text):
            words = sentence.strip()
            start = text.find(words, place) if words else -1
            if start < 0:
                continue
            place = start + len(words)
            found.append((start, place))
        return found or [(0, len(text))]


if __name__ == "__main__":
    serve(Pysbd(Path(__file__).parent))
