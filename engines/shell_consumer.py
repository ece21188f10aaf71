"""The socket of a shell: bytes are the terminal's, text is abm's and the page's own.

The page tells `{"cols": 80, "rows": 24}`, first of all, and `{"drawn": bytes}`; abm tells
`{"says": "a sentence"}`.
"""

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
from jobs.signed_in import person_now, until_out

NOT_ALLOWED = 4403
ENDED = 4000
MOST_WORDS = 200
MOST_AHEAD = 1_000_000
"""Bytes that the page has not drawn yet."""


class ShellConsumer(AsyncWebsocketConsumer):
    """One terminal. It opens with the first size that the page tells, and ends with the page."""

    session: ShellSession | None = None
    pump: asyncio.Task[None] | None = None
    watch: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        user = self.scope.get("user")
        await self.accept()
        if user is None or not user.is_authenticated:
            await self.close(code=NOT_SIGNED_IN)
            return
        self.user_pk = user.pk
        self.is_opening = False
        self.ahead = 0
        self.ready = asyncio.Event()

    async def disconnect(self, code: int) -> None:
        for task in (self.pump, self.watch):
            if task is not None:
                task.cancel()
        if self.session is not None:
            self.session.close()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if bytes_data is not None and self.session is not None:
            try:
                self.session.write(bytes_data)
            except RunnerError as error:
                await self._say(error.message)
        elif text_data and len(text_data) < MOST_WORDS:
            told = _numbers_in(text_data)
            if "drawn" in told:
                self.ahead -= told["drawn"]
                self.ready.set()
            elif "cols" in told and "rows" in told:
                await self._sized(told["cols"], told["rows"])

    async def _sized(self, cols: int, rows: int) -> None:
        if self.session is not None:
            self.session.resize(cols, rows)
        elif not self.is_opening and hasattr(self, "user_pk"):
            self.is_opening = True
            await self._open(cols, rows)

    async def _open(self, cols: int, rows: int) -> None:
        loop = asyncio.get_running_loop()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.ready.set)

        try:
            self.session = await loop.run_in_executor(POOL, self._opened, cols, rows, wake)
        except Refused as refusal:
            await self._say(refusal.message)
            await self.close(code=NOT_ALLOWED)
            return
        self.pump = asyncio.create_task(self._pump(self.session))
        self.watch = asyncio.create_task(self._close_when_out())

    async def _close_when_out(self) -> None:
        """A shell is for admins for as long as they are that, and signed in."""
        await until_out(self.user_pk, self.scope.get("session"), role=User.Role.ADMIN, pool=POOL)
        await self._say("You are signed out, or no admin any more.")
        await self.close(code=NOT_ALLOWED)

    def _opened(self, cols: int, rows: int, wake: Any) -> ShellSession:
        close_old_connections()
        user = person_now(self.user_pk, self.scope.get("session"))
        pk = int(self.scope["url_route"]["kwargs"]["pk"])
        engine = Engine.objects.select_related("host").filter(pk=pk).first()
        if user is None or engine is None:
            raise Refused("ENGINE_NOT_FOUND", "There is no such engine any more.", status=404)
        return open_shell(engine, user=user, cols=cols, rows=rows, wake=wake)

    async def _pump(self, session: ShellSession) -> None:
        """What the program writes, no faster than the page draws it, until it ends."""
        shown: bytes | None = b""
        try:
            while shown is not None:
                self.ready.clear()
                shown = session.read(timeout=0) if self.ahead < MOST_AHEAD else b""
                if shown:
                    self.ahead += len(shown)
                    await self.send(bytes_data=shown)
                elif shown is not None:
                    await self.ready.wait()
            await self._say(session.ending)
        finally:
            # Whatever broke it, a page must not show a terminal that only seems to listen.
            await self.close(code=ENDED)

    async def _say(self, sentence: str) -> None:
        """Words of abm's own, apart from the program's."""
        await self.send(text_data=json.dumps({"says": sentence}))


def _numbers_in(text: str) -> dict[str, int]:
    """The whole numbers that the page tells; empty for anything else."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {str(key): value for key, value in told.items() if type(value) is int and value >= 0}
