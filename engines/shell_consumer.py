"""The socket of a shell: bytes are the terminal's, text is `{"cols": 80, "rows": 24}`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import close_old_connections

from accounts.models import User
from accounts.refused import Refused
from engines.models import Engine
from engines.shell import open_shell
from hosts.runners.base import RunnerError
from hosts.runners.docker.shell import ShellSession
from jobs.consumers import NOT_SIGNED_IN, POOL

NOT_ALLOWED = 4403
ENDED = 4000
MOST_SIZE_WORDS = 200


class ShellConsumer(AsyncWebsocketConsumer):
    """One terminal. It opens with the first size that the page tells, and ends with the page."""

    session: ShellSession | None = None
    pump: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        user = self.scope.get("user")
        await self.accept()
        if user is None or not user.is_authenticated:
            await self.close(code=NOT_SIGNED_IN)
            return
        self.user_pk = user.pk
        self.is_opening = False

    async def disconnect(self, code: int) -> None:
        if self.pump is not None:
            self.pump.cancel()
        if self.session is not None:
            self.session.close()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if bytes_data is not None and self.session is not None:
            try:
                self.session.write(bytes_data)
            except RunnerError as error:
                await self._say(error.message)
        elif (size := _size_in(text_data or "")) is not None:
            await self._sized(*size)

    async def _sized(self, cols: int, rows: int) -> None:
        if self.session is not None:
            self.session.resize(cols, rows)
        elif not self.is_opening and hasattr(self, "user_pk"):
            self.is_opening = True
            await self._open(cols, rows)

    async def _open(self, cols: int, rows: int) -> None:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(ready.set)

        try:
            self.session = await loop.run_in_executor(POOL, self._opened, cols, rows, wake)
        except Refused as refusal:
            await self._say(refusal.message)
            await self.close(code=NOT_ALLOWED)
            return
        self.pump = asyncio.create_task(self._pump(self.session, ready))

    def _opened(self, cols: int, rows: int, wake: Any) -> ShellSession:
        close_old_connections()
        user = User.objects.filter(pk=self.user_pk, is_active=True).first()
        pk = int(self.scope["url_route"]["kwargs"]["pk"])
        engine = Engine.objects.select_related("host").filter(pk=pk).first()
        if user is None or engine is None:
            raise Refused("ENGINE_NOT_FOUND", "There is no such engine any more.", status=404)
        return open_shell(engine, user=user, cols=cols, rows=rows, wake=wake)

    async def _pump(self, session: ShellSession, ready: asyncio.Event) -> None:
        """What the program writes, until it ends."""
        while (shown := session.read(timeout=0)) is not None:
            if shown:
                await self.send(bytes_data=shown)
            else:
                await ready.wait()
                ready.clear()
        await self._say(session.ending)
        await self.close(code=ENDED)

    async def _say(self, sentence: str) -> None:
        """Words of abm's own, apart from the program's."""
        await self.send(text_data=json.dumps({"says": sentence}))


def _size_in(text: str) -> tuple[int, int] | None:
    if len(text) > MOST_SIZE_WORDS:
        return None
    try:
        told = json.loads(text)
        return int(told["cols"]), int(told["rows"])
    except (ValueError, TypeError, KeyError):
        return None
