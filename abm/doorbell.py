"""Celery's in-memory broker, whose worker wakes when it is rung instead of asking all the time.

Kombu's own asks 50 times a second, as the polling interval has it, so a job waits half of that.
"""

from __future__ import annotations

import threading
import time
from queue import Empty
from typing import Any

from kombu.transport import memory

IDLE_SECONDS = 0.05
"""Between two looks where nobody rang: a worker that was full may have room again."""
_rung = threading.Event()


class Channel(memory.Channel):
    """Rings with each message."""

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        super()._put(queue, message, **options)
        _rung.set()


class Transport(memory.Transport):
    """One worker takes from it."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:  # type: ignore[override]
        """Deliver one message; TimeoutError if none comes within `timeout` seconds."""
        assert self.cycle is not None
        ends = None if timeout is None else time.monotonic() + timeout
        while True:
            _rung.clear()  # before the look: what comes after it rings again
            try:
                self.cycle.get(self._deliver, timeout=timeout)
            except Empty:
                left = IDLE_SECONDS if ends is None else ends - time.monotonic()
                if left <= 0:
                    raise TimeoutError from None
                _rung.wait(min(left, IDLE_SECONDS))
            else:
                return
