"""An engine's log as it is written, for a program that reads it line by line."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError as NobodyWaits

from django.db import connection

from accounts.refused import Refused
from engines.models import Engine
from engines.work import follow_log
from hosts.runners.base import RunnerError
from jobs.outcome import CancelToken

MOST_AT_ONCE = 50
"""Each one holds a thread, because runners read in one."""
HELD_LINES = 1_000
_seats = threading.BoundedSemaphore(MOST_AT_ONCE)


def take_seat() -> None:
    """Raise Refused when too many logs are followed at once; give it back with `follow_lines`."""
    if not _seats.acquire(blocking=False):
        raise Refused(
            "TOO_MANY_FOLLOWERS",
            f"{MOST_AT_ONCE} programs follow logs already. Read without follow, or come later.",
            status=429,
        )


async def follow_lines(engine: Engine, *, tail: int) -> AsyncIterator[bytes]:
    """The last `tail` lines and each new one, until who reads goes away.

    A reader that is slow slows the reading; nothing piles up.
    """
    queue: asyncio.Queue[str | None] = asyncio.Queue(HELD_LINES)
    loop, token = asyncio.get_running_loop(), CancelToken()

    def put(line: str | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()

    def read() -> None:
        try:
            for line in follow_log(engine, tail=tail, cancel=token):
                put(line)
            put(None)
        except RunnerError as error:
            put(f"abm cannot read the log: {error.message}")
            put(None)
        except (NobodyWaits, RuntimeError):
            return  # the loop ended with the server
        finally:
            connection.close()
            _seats.release()

    threading.Thread(target=read, name="abm-log", daemon=True).start()
    try:
        while (line := await queue.get()) is not None:
            yield f"{line}\n".encode("utf-8", "replace")
    finally:
        token.cancel()
        while not queue.empty():
            queue.get_nowait()  # the thread may wait to put one more
