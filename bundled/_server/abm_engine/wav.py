"""WAV files without anything beside the standard library (audioop left it in Python 3.13)."""

from __future__ import annotations

import io
import sys
import wave
from array import array
from dataclasses import dataclass


class NotWav(Exception):
    """The bytes are not a WAV file that can be read; the message says why."""


@dataclass(frozen=True)
class Sound:
    """One channel of samples from -1 to 1 at `rate` Hz."""

    samples: array[float]
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def at(self, rate: int) -> Sound:
        """The same sound at another rate, by linear interpolation over averaged input."""
        if rate == self.rate or not self.samples:
            return self
        step = self.rate / rate
        source = _smoothed(self.samples, round(step)) if step >= 2 else self.samples
        last = len(source) - 1
        out = array("f", bytes(4 * int(len(source) / step)))
        for index in range(len(out)):
            place = index * step
            left = int(place)
            right = left + 1 if left < last else last
            part = place - left
            out[index] = source[left] * (1 - part) + source[right] * part
        return Sound(out, rate)

    def pcm16(self) -> bytes:
        """The samples as 16-bit little-endian integers."""
        out = array("h", (round(max(-1.0, min(1.0, value)) * 32767) for value in self.samples))
        if sys.byteorder == "big":
            out.byteswap()
        return out.tobytes()


def _smoothed(samples: array[float], width: int) -> array[float]:
    """A running mean, so that halving the rate does not fold high tones into low ones."""
    out, total = array("f", bytes(4 * len(samples))), 0.0
    for index, value in enumerate(samples):
        total += value
        if index >= width:
            total -= samples[index - width]
        out[index] = total / min(index + 1, width)
    return out


def read_wav(data: bytes) -> Sound:
    """The first two channels mixed to one. Raises NotWav."""
    if len(data) < 44 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise NotWav("not a RIFF/WAVE file")
    try:
        with wave.open(io.BytesIO(data)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise NotWav(str(error)) from error
    if not raw or rate <= 0:
        raise NotWav("no samples in it")
    values, scale = _integers(raw, width)
    mixed = (
        array("f", (value / scale for value in values))
        if channels == 1
        else array(
            "f",
            (
                (values[index] + values[index + 1]) / 2 / scale
                for index in range(0, len(values) - channels + 1, channels)
            ),
        )
    )
    return Sound(mixed, rate)


def _integers(raw: bytes, width: int) -> tuple[array[int], float]:
    """Samples as integers, and the value that stands for 1."""
    raw = raw[: len(raw) // width * width]
    if width == 1:
        return array("h", (value - 128 for value in raw)), 128.0
    if width == 3:
        # The three bytes become the upper three of four.
        wide = bytearray(len(raw) // 3 * 4)
        for offset in range(3):
            wide[offset + 1 :: 4] = raw[offset::3]
        raw, width = bytes(wide), 4
    values = array("h" if width == 2 else "i", raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values, 32768.0 if width == 2 else 2147483648.0


def write_wav(samples: bytes, rate: int) -> bytes:
    """16-bit mono PCM as a WAV file."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)
    return target.getvalue()
