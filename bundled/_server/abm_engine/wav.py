"""WAV files without anything beside the standard library.

Read by hand: `wave` of Python before 3.12 refuses WAVE_FORMAT_EXTENSIBLE and no version knows
floating point, yet both are what recorders and speech engines write.
"""

from __future__ import annotations

import io
import math
import struct
import sys
import wave
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
CODES = {(PCM, 16): "h", (PCM, 24): "i", (PCM, 32): "i", (FLOAT, 32): "f", (FLOAT, 64): "d"}
SLOWEST, QUICKEST = 1_000, 768_000


class NotWav(Exception):
    """The bytes are not a WAV file that can be read; the message says why."""


class TooLong(Exception):
    """A recording lasts longer than is allowed; `seconds` says how long it is."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(frozen=True)
class Sound:
    """One channel of samples, full scale from -1 to 1, at `rate` Hz."""

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


@dataclass(frozen=True)
class _Form:
    encoding: int
    channels: int
    rate: int
    bits: int

    @property
    def frame(self) -> int:
        return self.channels * self.bits // 8


def read_wav(data: bytes, *, longest: float | None = None) -> Sound:
    """The first two channels mixed to one. Raises NotWav; TooLong before decoding anything."""
    if len(data) < 44 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise NotWav("it does not begin with a RIFF/WAVE header")
    form, raw = _chunks(memoryview(data))
    raw = raw[: len(raw) // form.frame * form.frame]
    if not raw:
        raise NotWav("it holds no samples")
    seconds = len(raw) / form.frame / form.rate
    if longest is not None and seconds > longest:
        raise TooLong(seconds)
    values, scale = _numbers(raw, form)
    if not all(map(math.isfinite, values)):
        raise NotWav("it holds samples that are not numbers")
    return Sound(array("f", _mixed(values, form.channels, scale)), form.rate)


def _chunks(data: memoryview) -> tuple[_Form, memoryview]:
    """The format and the bytes of the samples; a size that promises too much is cut."""
    form, place = None, 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        body = data[place + 8 : place + 8 + size]
        if name == b"fmt ":
            form = _format(body)
        elif name == b"data":
            if form is None:
                raise NotWav("its samples come before their format")
            return form, body
        place += 8 + size + size % 2
    raise NotWav("it holds no samples")


def _format(chunk: memoryview) -> _Form:
    if len(chunk) < 16:
        raise NotWav("its format is cut short")
    encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if encoding == EXTENSIBLE and len(chunk) >= 26:
        (encoding,) = struct.unpack_from("<H", chunk, 24)
    if (encoding, bits) not in CODES and (encoding, bits) != (PCM, 8):
        raise NotWav(f"its encoding (format {encoding}, {bits} bits) is not plain PCM")
    if not channels or not SLOWEST <= rate <= QUICKEST:
        raise NotWav(f"{channels} channels at {rate} Hz cannot be")
    return _Form(encoding, channels, rate, bits)


def _numbers(raw: memoryview, form: _Form) -> tuple[array[float], float]:
    """All samples as they are written, and the value that stands for 1."""
    if form.bits == 8:
        return array("h", (value - 128 for value in raw)), 128.0
    if form.bits == 24:
        # The three bytes become the upper three of four.
        wide = bytearray(len(raw) // 3 * 4)
        for offset in range(3):
            wide[offset + 1 :: 4] = raw[offset::3]
        raw = memoryview(wide)
    values = array(CODES[form.encoding, form.bits])
    values.frombytes(raw)
    if sys.byteorder == "big":
        values.byteswap()
    full = 1.0 if form.encoding == FLOAT else 32768.0 if form.bits == 16 else 2147483648.0
    return values, full


def _mixed(values: array[float], channels: int, scale: float) -> Iterable[float]:
    if channels == 1:
        return (value / scale for value in values)
    both = zip(values[0::channels], values[1::channels], strict=True)
    return ((left + right) / 2 / scale for left, right in both)


def write_wav(samples: bytes, rate: int) -> bytes:
    """16-bit mono PCM as a WAV file."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)
    return target.getvalue()
