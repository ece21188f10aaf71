"""Reading an engine's log while its launcher writes and rotates it: no line twice, none lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from jobs.outcome import CancelToken

FOLLOW_SECONDS = 0.15
PIECES = 9
READ_BYTES = 1_000_000
LINE_BYTES = 64_000
"""A line that goes on longer, such as a progress bar without end, is cut here."""


def tail_of(log: Path, lines: int) -> list[str]:
    """The last `lines` lines of a log and its older pieces, oldest first."""
    with _Reading(log) as reading:
        found = reading.older_lines(lines)
        return [*found, _text(reading.rest)][-lines:] if reading.rest and lines else found


def follow(log: Path, *, tail: int, cancel: CancelToken) -> Iterator[str]:
    """The last `tail` lines, then each new one until cancelled, across rotations and new starts."""
    with _Reading(log) as reading:
        yield from reading.older_lines(tail)
        while not cancel.wait(FOLLOW_SECONDS):
            while lines := reading.new_lines():
                yield from lines
                if cancel.is_cancelled:
                    return


class _Reading:
    """One pass over a log. It holds the file open, so that its inode goes to no other file."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._file = _opened(log)
        self.rest = b""
        """What stands behind the last end of a line: a line that is not complete."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._turn_to(None)

    def _turn_to(self, file: BinaryIO | None) -> None:
        if self._file is not None:
            self._file.close()
        self._file = file

    def older_lines(self, lines: int) -> list[str]:
        """The last complete lines so far."""
        *complete, self.rest = (self._file.read() if self._file else b"").split(b"\n")
        found = complete[-lines:] if lines > 0 else []
        mine = _inode_of(self._file)
        for piece in _pieces(self._log):
            if len(found) >= lines:
                break
            with contextlib.suppress(FileNotFoundError), piece.open("rb") as file:
                if _inode_of(file) != mine:
                    older = file.read().removesuffix(b"\n").split(b"\n")
                    found = [*older[len(found) - lines :], *found]
        return [_text(line) for line in found]

    def new_lines(self) -> list[str]:
        """The complete lines since the last time, none when there is nothing new."""
        data = self._new_bytes()
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LINE_BYTES:
            lines, self.rest = [*lines, self.rest], b""
        return [_text(line) for line in lines]

    def _new_bytes(self) -> bytes:
        """What the file being read has more by now, else the start of the one after it."""
        # Found before it is read: a file that has a successor by then is complete.
        after = self._after()
        data = self._file.read(READ_BYTES) if self._file else b""
        if data or after is None:
            if after is not None:
                after.close()
            return data
        self._turn_to(after)
        return after.read(READ_BYTES)

    def _after(self) -> BinaryIO | None:
        """The piece that follows the one being read; the oldest, if that one is gone by now."""
        mine = _inode_of(self._file)
        newer: BinaryIO | None = None
        for piece in _pieces(self._log):
            file = _opened(piece)
            if file is None:
                continue
            if _inode_of(file) == mine:
                file.close()
                return newer
            if newer is not None:
                newer.close()
            newer = file
        return newer


def _pieces(log: Path) -> Iterator[Path]:
    yield log
    for number in range(1, PIECES + 1):
        yield log.with_name(f"{log.name}.{number}")


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except OSError:
        return None


def _inode_of(file: BinaryIO | None) -> int:
    return os.fstat(file.fileno()).st_ino if file else 0


def _text(line: bytes) -> str:
    """A line as text; of a progress bar, which goes back by `\\r`, its last state."""
    return line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
