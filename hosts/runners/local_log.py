"""Reading an engine's log while its launcher writes and rotates it: no line twice, none lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from jobs.outcome import CancelToken

FOLLOW_SECONDS = 0.15
PIECES = 9
READ_BYTES = 1_000_000
LINE_BYTES = 64_000
"""A line that goes on longer, such as a progress bar without end, is cut here."""


def tail_of(log: Path, lines: int) -> list[str]:
    """The last `lines` lines of a log and its older pieces, oldest first."""
    return _Place(log).older_lines(lines)


def follow(log: Path, *, tail: int, cancel: CancelToken) -> Iterator[str]:
    """The last `tail` lines, then each new one until cancelled, across rotations and new starts."""
    place = _Place(log)
    yield from place.older_lines(tail, is_followed=True)
    while not cancel.wait(FOLLOW_SECONDS):
        while lines := place.new_lines():
            yield from lines
            if cancel.is_cancelled:
                return


class _Place:
    """How far a log was read: a file by its inode, bytes in it, a line that is not complete."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._inode = _inode_of(log)
        self._bytes = 0
        self._rest = b""

    def older_lines(self, lines: int, *, is_followed: bool = False) -> list[str]:
        """The last lines so far. One that is not complete is shown, or left to be followed."""
        data = _read(self._log, self._inode, 0, None) or b""
        self._bytes = len(data)
        *complete, rest = data.split(b"\n")
        if is_followed:
            self._rest = rest
        elif rest:
            complete.append(rest)
        found = complete[-lines:] if lines > 0 else []
        for inode, piece in _pieces(self._log):
            if len(found) >= lines:
                break
            if inode != self._inode:
                older = (_read(piece, inode, 0, None) or b"").removesuffix(b"\n").split(b"\n")
                found = [*older[len(found) - lines :], *found]
        return [_text(line) for line in found]

    def new_lines(self) -> list[str]:
        """The complete lines since the last time, none when there is nothing new."""
        data = self._new_bytes()
        self._bytes += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        return [_text(line) for line in lines]

    def _new_bytes(self) -> bytes:
        """What the file being read has more by now, else the start of the one after it."""
        pieces = _pieces(self._log)
        # Looked up before it is read: what is no longer the newest file then is complete.
        at = next((at for at, piece in enumerate(pieces) if piece[0] == self._inode), len(pieces))
        if at < len(pieces):
            data = _read(pieces[at][1], self._inode, self._bytes, READ_BYTES)
            if data or data is None or at == 0:
                return data or b""
        if not pieces:
            return b""
        # A reader that was too slow goes on with the oldest piece that is still there.
        self._inode, path = pieces[at - 1]
        self._bytes = 0
        return _read(path, self._inode, 0, READ_BYTES) or b""


def _pieces(log: Path) -> list[tuple[int, Path]]:
    """(inode, path) of each file of the log that is there, newest first."""
    paths = [log, *(log.with_name(f"{log.name}.{number}") for number in range(1, PIECES + 1))]
    return [(inode, path) for path in paths if (inode := _inode_of(path))]


def _inode_of(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _read(path: Path, inode: int, start: int, size: int | None) -> bytes | None:
    """Bytes of the file `inode`, looked for at `path`; None when another lies there by now."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_ino != inode:
                return None
            file.seek(start)
            return file.read(-1 if size is None else size)
    except OSError:
        return None


def _text(line: bytes) -> str:
    """A line as text; of a progress bar, which goes back by `\\r`, its last state."""
    return line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
