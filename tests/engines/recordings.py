"""Recordings as people upload them, made here."""

from __future__ import annotations

import math
import struct
from array import array

RATE = 24_000


def recording(
    seconds: float = 7.0, *, rate: int = RATE, level: float = 0.5, bits: int = 16, channels: int = 1
) -> bytes:
    """A tone as a WAV file; above 1 its tops are cut off."""
    frames = array("i")
    whole = 2 ** (bits - 1) - 1
    for at in range(rate):
        value = level * math.sin(440 * math.tau * at / rate)
        frames.extend([int(whole * max(-1.0, min(1.0, value)))] * channels)
    width = bits // 8
    second = b"".join(
        value.to_bytes(width, "little", signed=width > 1)
        if width > 1
        else ((value + 128) & 255).to_bytes(1, "little")
        for value in frames
    )
    data = (second * math.ceil(seconds))[: int(seconds * rate) * channels * width]
    head = struct.pack(
        "<HHIIHH", 1, channels, rate, rate * width * channels, width * channels, bits
    )
    body = (
        b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(data)) + data
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body
