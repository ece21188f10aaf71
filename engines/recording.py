"""Whether a recording is good for cloning a voice: what is refused, and what could be better.

Engines cut a sample down to 6 to 30 seconds and work at 22,050 or 24,000 Hz; XTTS, Chatterbox and
F5 all say so in their own papers and notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engines.sound import NotWav, Wav, loudness, read_wav

LEAST_RATE, GOOD_RATE = 16_000, 22_050
LEAST_SECONDS, GOOD_SECONDS, MOST_SECONDS = 2.0, 6.0, 120.0
QUIET_PEAK, SILENT_PEAK = 0.1, 0.01
FEW_CLIPPED, MANY_CLIPPED = 0.0001, 0.01
"""Shares of the samples that are at the loudest value there is."""


class Unfit(ValueError):
    """A recording that no engine can use; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A recording that can be used, and sentences on what may sound better."""

    wav: Wav
    advice: tuple[str, ...]


def judge(data: bytes) -> Judged:
    """Look at a WAV file. Raises Unfit."""
    try:
        wav = read_wav(data)
    except NotWav as error:
        raise Unfit(f"This is no WAV file that abm can read: {error}. Save it as WAV.") from error
    if wav.bits < 16:
        raise Unfit(f"It has {wav.bits} bits a sample, which hisses. Record it with 16 or 24.")
    if wav.rate < LEAST_RATE:
        raise Unfit(
            f"Its rate is {wav.rate:,} Hz; below {LEAST_RATE:,} Hz a voice loses its colour. "
            "Record it again; a higher rate put on later does not help."
        )
    if not LEAST_SECONDS <= wav.seconds <= MOST_SECONDS:
        raise Unfit(
            f"It is {wav.seconds:.1f} s long; engines need {LEAST_SECONDS:g} to "
            f"{MOST_SECONDS:g} s, best {GOOD_SECONDS:g} to 30 s."
        )
    peak, clipped = loudness(data)
    if peak < SILENT_PEAK:
        raise Unfit("There is nothing to hear in it. Check the microphone and record it again.")
    if clipped > MANY_CLIPPED:
        raise Unfit(
            f"{clipped:.1%} of it is clipped: it was recorded too loud, which cannot be taken "
            "back. Turn the microphone down and record it again."
        )
    return Judged(wav, tuple(_advice(wav, peak, clipped)))


def _advice(wav: Wav, peak: float, clipped: float) -> Iterator[str]:
    if wav.rate < GOOD_RATE:
        yield f"{wav.rate:,} Hz is little; {GOOD_RATE:,} Hz or more sound clearer."
    if wav.seconds < GOOD_SECONDS:
        yield f"It is short; {GOOD_SECONDS:g} s or more sound more like the speaker."
    if wav.channels > 1:
        yield f"It has {wav.channels} channels; engines use the first, or the mean of all."
    if peak < QUIET_PEAK:
        yield "It is quiet; a louder recording has less noise."
    if clipped > FEW_CLIPPED:
        yield f"{clipped:.2%} of it is clipped; record it with less gain."
