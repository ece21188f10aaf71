"""Reading WAV files: is it one, how long is it, is there anything to hear, was it too loud."""

from __future__ import annotations

import io
import struct
from array import array
from dataclasses import dataclass

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


class NotWav(ValueError):
    """The bytes are no WAV file; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Wav:
    """The format of a WAV file and where its samples lie; rates in Hz, sizes in bytes."""

    channels: int
    rate: int
    bits: int
    encoding: int
    data_offset: int
    data_size: int

    @property
    def seconds(self) -> float:
        frame = self.channels * self.bits // 8
        return self.data_size / frame / self.rate


def read_wav(data: bytes) -> Wav:
    """Parse the RIFF header (Microsoft's WAVE format). Raises NotWav with the reason."""
    if len(data) < 44 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise NotWav("it does not begin with a RIFF/WAVE header")
    stream = io.BytesIO(data)
    stream.seek(12)
    form: tuple[int, int, int, int] | None = None
    while len(head := stream.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"fmt ":
            form = _read_format(stream.read(size))
        elif name == b"data":
            if form is None:
                raise NotWav("its samples come before their format")
            offset = stream.tell()
            encoding, channels, rate, bits = form
            return Wav(channels, rate, bits, encoding, offset, min(size, len(data) - offset))
        else:
            stream.seek(size, io.SEEK_CUR)
        if size % 2:
            stream.seek(1, io.SEEK_CUR)
    raise NotWav("it holds no samples")


def _read_format(chunk: bytes) -> tuple[int, int, int, int]:
    if len(chunk) < 16:
        raise NotWav("its format is cut short")
    encoding, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunk[:16])
    if encoding == EXTENSIBLE and len(chunk) >= 26:
        encoding = struct.unpack("<H", chunk[24:26])[0]
    if encoding not in (PCM, FLOAT) or not channels or not rate or bits not in (8, 16, 24, 32, 64):
        raise NotWav(f"its encoding (format {encoding}, {bits} bits) is not plain PCM")
    return encoding, channels, rate, bits


def peak(data: bytes) -> float:
    """The loudest sample of a 16-bit PCM WAV, 0 to 1; 1.0 for other widths, unread."""
    wav = read_wav(data)
    if wav.bits != 16 or wav.encoding != PCM:
        return 1.0
    samples = array("h")
    end = wav.data_offset + wav.data_size // 2 * 2
    samples.frombytes(data[wav.data_offset : end])
    return max((abs(value) for value in samples), default=0) / 32_768


FULL = 0.999
"""At or above this share of the largest value a sample counts as clipped."""


def loudness(data: bytes) -> tuple[float, float]:
    """The loudest sample of a WAV, 0 to 1, and the share of samples that are clipped."""
    wav = read_wav(data)
    levels, whole = _levels(wav, data[wav.data_offset : wav.data_offset + wav.data_size])
    if not levels:
        return 0.0, 0.0
    highest = max(max(levels), -min(levels)) / whole
    if highest < FULL:
        return highest, 0.0
    most = FULL * whole
    return min(highest, 1.0), sum(1 for level in levels if abs(level) >= most) / len(levels)


def _levels(wav: Wav, frames: bytes) -> tuple[array[int] | array[float], int]:
    """The samples as numbers, and the largest value that they can have."""
    width = wav.bits // 8
    frames = frames[: len(frames) // width * width]
    if wav.encoding == FLOAT:
        return array("d" if width == 8 else "f", frames), 1
    if width == 1:
        return array("h", ((byte - 128) << 8 for byte in frames)), 32_767
    # The two upper bytes of each sample say enough.
    upper = bytearray(len(frames) // width * 2)
    upper[0::2], upper[1::2] = frames[width - 2 :: width], frames[width - 1 :: width]
    return array("h", bytes(upper)), 32_767
