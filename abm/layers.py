"""The channel layer of an abm that is one process with several threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from channels.layers import InMemoryChannelLayer


class ThreadSafeInMemoryChannelLayer(InMemoryChannelLayer):  # type: ignore[misc]
    """Messages sent from any thread are handed to the loop that serves the sockets.

    The stock layer puts into asyncio queues from whatever loop calls it, which does not wake the
    server: a message then waits for other traffic. Nobody waits for the hop, because at the end
    the server's loop stands still without being closed.
    """

    loop: asyncio.AbstractEventLoop | None = None

    async def receive(self, channel: str) -> dict[str, Any]:
        if self.loop is None or self.loop.is_closed():
            self.loop = asyncio.get_running_loop()
        message: dict[str, Any] = await super().receive(channel)
        return message

    async def _hop(self, send: Callable[..., Awaitable[None]], *args: Any) -> None:
        loop = self.loop
        if loop is asyncio.get_running_loop():
            await send(*args)
        elif loop is not None and loop.is_running():
            loop.call_soon_threadsafe(lambda: asyncio.ensure_future(send(*args), loop=loop))

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._hop(super().send, channel, message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self._hop(super().group_send, group, message)
