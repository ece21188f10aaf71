"""The whole answer of a command, bounded in time and size."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

CHUNK_BYTES = 2**15
STATUS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a command wrote, as far as it was read."""

    status: int
    """Its exit status; -1 if the server told none."""
    out: str
    err: str
    is_cut: bool = False
    """There was more than was to be read."""


class _Ring:
    """Rung by both of a channel's buffers, and never silenced by either."""

    def __init__(self) -> None:
        self.rung = threading.Event()

    def set(self) -> None:
        self.rung.set()

    def clear(self) -> None:
        """Nothing: the other buffer may have something."""


def read_all(channel: Any, *, deadline: float, most_bytes: int) -> Said | None:
    """Read a session's output to its end; None if the time is up or the connection ended."""
    ring, out, err = _Ring(), bytearray(), bytearray()
    channel.in_buffer.set_event(ring)
    channel.in_stderr_buffer.set_event(ring)
    while True:
        ring.rung.clear()
        while channel.recv_ready():
            out += channel.recv(CHUNK_BYTES)
        while channel.recv_stderr_ready():
            err += channel.recv_stderr(CHUNK_BYTES)
        if len(out) + len(err) > most_bytes:
            return _said(channel, out, err, most_bytes, is_cut=True)
        is_over = channel.eof_received or channel.closed
        if is_over and not channel.recv_ready() and not channel.recv_stderr_ready():
            break
        if not is_over and not ring.rung.wait(deadline - time.monotonic()):
            return None
    left = min(STATUS_SECONDS, deadline - time.monotonic())
    channel.status_event.wait(max(0.0, left))
    if not channel.transport.is_active():
        return None
    return _said(channel, out, err, most_bytes, is_cut=False)


def _said(channel: Any, out: bytearray, err: bytearray, most: int, *, is_cut: bool) -> Said:
    return Said(
        channel.exit_status,
        out[:most].decode(errors="replace"),
        err[:most].decode(errors="replace"),
        is_cut,
    )
