"""pySBD behind the engine contract: cuts a text at the ends of sentences, by rules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pysbd
from abm_engine import Engine, serve

WINDOW = 4_000


class Pysbd(Engine):
    """Knows abbreviations, numbers and quotes of its languages; keeps every character's place."""

    cutters: dict[str, pysbd.Segmenter]

    def load(self, model: str) -> None:
        self.cutters = {}

    def segment(self, text: str, language: str, longest: int) -> list[tuple[int, int]]:
        segments: list[tuple[int, int]] = []
        for start, end in self._sentences(text, language):
            if segments and end - segments[-1][0] <= longest:
                segments[-1] = (segments[-1][0], end)
            else:
                segments.append((start, end))
        return segments

    def _sentences(self, text: str, language: str) -> Iterator[tuple[int, int]]:
        """Each sentence without the space around it. pySBD's time grows with the square of a
        text, so it is given windows; the last sentence of one may go on and begins the next."""
        place, width = 0, WINDOW
        while place < len(text):
            window = text[place : place + width]
            is_last = place + width >= len(text)
            starts = self._starts(window, language)
            if len(starts) == 1 and not is_last:
                width *= 2
                continue
            edges = [*starts, len(window)] if is_last else starts
            for start, end in pairwise(edges):
                words = window[start:end].strip()
                if words:
                    first = place + start + window[start:end].index(words)
                    yield first, first + len(words)
            place, width = place + edges[-1], WINDOW

    def _starts(self, window: str, language: str) -> list[int]:
        """Where each sentence begins, from 0. One that pySBD gives back changed has no place of
        its own and stays with the sentence before it: no character is lost."""
        if language not in self.cutters:
            self.cutters[language] = pysbd.Segmenter(language=language, clean=False)
        starts, place = [0], 0
        for sentence in self.cutters[language].segment(window):
            words = sentence.strip()
            found = window.find(words, place) if words else -1
            if found < 0:
                continue
            if found > starts[-1] and window[:found].strip():
                starts.append(found)
            place = found + len(words)
        return starts


if __name__ == "__main__":
    serve(Pysbd(Path(__file__).parent))
