"""Answers that go on for a while: piece by piece, no faster than they are read.

daphne takes whatever it is given and keeps what the client did not read; so the way out is asked
before each piece (`abm.connection`, where the server has it).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from django.core.exceptions import RequestAborted

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Result = TypeVar("Result")
PAUSE = 0.01


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def unless_gone(work: Awaitable[Result], gone: asyncio.Future[None]) -> Result:
    """The result of `work`. Raises RequestAborted as soon as the client is gone."""
    task = asyncio.ensure_future(work)
    either: set[asyncio.Future[Any]] = {task, gone}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait({task})
    raise RequestAborted


async def send_pieces(
    pieces: AsyncIterator[bytes], *, connection: Any, gone: asyncio.Future[None], send: Send
) -> None:
    """Send the body's pieces. Raises RequestAborted if the client goes before the end."""
    if connection is not None:
        connection.watch()
    try:
        while True:
            piece = await unless_gone(_next(pieces), gone)
            while connection is not None and connection.is_full and not gone.done():
                await asyncio.sleep(PAUSE)
            if piece is None:
                break
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        if connection is not None:
            connection.unwatch()
        if hasattr(pieces, "aclose"):
            await pieces.aclose()
    await send({"type": "http.response.body", "body": b""})


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(pieces)
    except StopAsyncIteration:
        return None
