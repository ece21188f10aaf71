"""One reader of events for all subscribers of this process.

It is woken by the channel layer and then reads the Event table, so what it tells has an id, an
order and a past. Each event is read and put into words once, however many listen.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from channels.layers import get_channel_layer
from django.db import close_old_connections
from django.db.models import Max, Min

from abm.events_frames import Frame, frames_of, progress_frames
from abm.events_ticks import health_frame, status_frame
from jobs.models import Event

log = logging.getLogger(__name__)

GROUPS = ("engines", "hosts", "jobs", "settings", "catalog")
QUEUE = 500
"""Frames that wait for a slow client; one more, and it is cut off."""
MOST_REPLAYED = 1_000
MOST_READ = 500
GATHER_SECONDS = 0.02
LOOK_SECONDS = 5.0
"""The table is read so often even if nobody rings: a layer may lose a message."""
STATUS_SECONDS, HEALTH_SECONDS = 15.0, 30.0

Value = TypeVar("Value")


@dataclass(eq=False)
class Subscriber:
    """One stream: what it wants to hear, and what waits for it."""

    channels: frozenset[str]
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    frames: asyncio.Queue[Frame] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    missed: int = 0
    """How many frames did not fit. It hears no more, and is told so."""
    is_ended: bool = False

    def put(self, frame: Frame) -> None:
        if frame.channel not in self.channels:
            return
        if self.missed or self.frames.full():
            self.missed += 1
            return
        self.frames.put_nowait(frame)


@dataclass(frozen=True, slots=True)
class Begun:
    """How a subscription begins: the newest id, and what a returning client did not hear."""

    last: int
    replay: list[Frame]
    missed: int | None
    """None, or about how many events are gone for a client that was away too long."""


class Hub:
    """Reads while somebody listens: on the server's loop, the database in a thread of its own."""

    def __init__(self) -> None:
        self.subscribers: set[Subscriber] = set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="abm-events")
        self._last = 0
        self._shares: dict[int, int] = {}
        self._moved: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._lock = asyncio.Lock()
        self._rung = asyncio.Event()

    async def join(self, subscriber: Subscriber, after: int | None) -> Begun:
        """From now on it hears everything; what it missed since the id `after` is returned."""
        async with self._lock:
            if not self._tasks:
                await self._begin()
            await self._catch_up()
            begun = Begun(self._last, [], None)
            if after is not None and after != self._last:
                begun = await self._call(lambda: missed_since(after, self._last))
            self.subscribers.add(subscriber)
            if "engines" in subscriber.channels:
                subscriber.put(await self._call(lambda: status_frame(self._last)))
            return begun

    def leave(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)
        if not self.subscribers:
            self._stop()

    def end(self) -> None:
        """The server ends: every stream is told to close, so that none holds it up."""
        for subscriber in self.subscribers:
            subscriber.is_ended = True
        self._stop()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _begin(self) -> None:
        self._last = await self._call(newest_id)
        self._moved.clear()
        self._shares.clear()
        layer = get_channel_layer()
        loop = asyncio.get_running_loop()
        if layer is not None:
            name = await layer.new_channel("events")
            for group in GROUPS:
                await layer.group_add(group, name)
            self._tasks.append(loop.create_task(self._listen(layer, name)))
        self._tasks.append(loop.create_task(self._read()))

    async def _listen(self, layer: Any, name: str) -> None:
        try:
            while True:
                message = await layer.receive(name)
                if message["type"] == "job.progressed":
                    self._moved.add(int(message["pk"]))
                self._rung.set()
        finally:
            for group in GROUPS:
                await layer.group_discard(group, name)

    async def _read(self) -> None:
        status_at = health_at = time.monotonic()
        while True:
            try:
                await asyncio.wait_for(self._rung.wait(), self._until(status_at, health_at))
                await asyncio.sleep(GATHER_SECONDS)
            except TimeoutError:
                pass
            self._rung.clear()
            now = time.monotonic()
            try:
                async with self._lock:
                    await self._catch_up()
                    if now - status_at >= STATUS_SECONDS:
                        # Read after the events and sent after them: it never tells of a state
                        # that an event has already told to be over.
                        status_at = now
                        self._send([await self._call(lambda: status_frame(self._last))])
                    if now - health_at >= HEALTH_SECONDS:
                        health_at = now
                        self._send([await self._call(lambda: health_frame(self._last))])
            except Exception:
                # The database may be away for a moment; ending here would silence every stream.
                log.exception("events could not be read; trying again")
                await asyncio.sleep(1)

    @staticmethod
    def _until(status_at: float, health_at: float) -> float:
        next_tick = min(status_at + STATUS_SECONDS, health_at + HEALTH_SECONDS)
        return max(0.01, min(LOOK_SECONDS, next_tick - time.monotonic()))

    async def _catch_up(self) -> None:
        while True:
            moved, self._moved = self._moved, set()
            last, shares = self._last, self._shares
            read = partial(read_after, last, moved, shares)
            frames, self._last, is_all = await self._call(read)
            self._send(frames)
            if is_all:
                return

    def _send(self, frames: Collection[Frame]) -> None:
        for frame in frames:
            for subscriber in self.subscribers:
                subscriber.put(frame)

    async def _call(self, read: Callable[[], Value]) -> Value:
        def fresh() -> Value:
            close_old_connections()
            return read()

        return await asyncio.get_running_loop().run_in_executor(self._pool, fresh)


def newest_id() -> int:
    return Event.objects.aggregate(newest=Max("pk"))["newest"] or 0


def read_after(last: int, moved: set[int], shares: dict[int, int]) -> tuple[list[Frame], int, bool]:
    """Frames of the events after `last` and of jobs that moved; the last id; if that is all."""
    events = list(Event.objects.filter(pk__gt=last).order_by("pk")[:MOST_READ])
    newest = events[-1].pk if events else last
    frames = frames_of(events) if events else []
    if moved:
        frames += progress_frames(moved, after=newest, shares=shares)
    return frames, newest, len(events) < MOST_READ


def missed_since(after: int, last: int) -> Begun:
    """What came after the id `after` and up to `last`, or that it is too much or gone by now.

    An id that never was is of a database that has been replaced: from a backup, most likely.
    """
    events = Event.objects.filter(pk__gt=after, pk__lte=last)
    found = list(events.order_by("pk")[: MOST_REPLAYED + 1])
    ends = Event.objects.aggregate(oldest=Min("pk"), newest=Max("pk"))
    is_known = (ends["oldest"] or 0) - 1 <= after <= (ends["newest"] or 0)
    if len(found) > MOST_REPLAYED or not is_known:
        return Begun(last, [], max(0, last - after))
    return Begun(last, frames_of(found), None)


HUB = Hub()
