"""`GET /api/events/subscribe`: what changes, as server-sent events, without a thread a listener.

Its view goes through the same door as the rest of the API, in one hop to a thread; the stream
itself lives on the server's event loop (abm.asgi).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router

from abm.events_frames import CHANNELS, DEFAULT_CHANNELS, Frame, stamp
from abm.events_hub import HUB, Begun, Subscriber
from abm.streaming import Receive, Send, disconnected
from accounts.models import ApiToken, User
from accounts.refused import Refused
from accounts.rest import endpoint, person

KEEPALIVE_SECONDS = 15.0
FLOW_SECONDS = 0.05
CUT_SECONDS = 5.0
"""So long a client that was cut off may take to read why."""
MOST_SUBSCRIBERS = 1_000
_ONE = f"({'|'.join(CHANNELS)})"
Channels = Annotated[str, Query(pattern=f"^{_ONE}(,{_ONE}){{0,19}}$", examples=["engines,jobs"])]

router = Router(tags=["events"], by_alias=True)


class Connection(Protocol):
    """What the server tells of a connection (abm.server)."""

    is_full: bool

    def watch(self) -> None: ...

    def unwatch(self) -> None: ...

    def close_within(self, seconds: float) -> Callable[[], None]: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who listens, and by which right: a token, or the session of a page."""

    user_pk: int
    token_pk: int | None
    session_key: str | None
    session: type[SessionBase] | None

    def may_listen(self) -> bool:
        """Whether that right still stands; it is asked with every keepalive."""
        if not User.objects.filter(pk=self.user_pk, is_active=True).exists():
            return False
        if self.token_pk is not None:
            token = ApiToken.objects.filter(pk=self.token_pk).first()
            return token is not None and not token.is_expired
        if self.session is None or self.session_key is None:
            return True
        return self.session().exists(self.session_key)


class EventStream(HttpResponse):
    """Stands for a stream; the server lets it run. Elsewhere it is only how a stream begins."""

    def __init__(
        self, channels: tuple[str, ...], *, after: int | None, is_typed: bool, caller: Caller
    ) -> None:
        super().__init__(content_type="text/event-stream; charset=utf-8")
        self.headers["Cache-Control"] = "no-store"
        self.headers["X-Accel-Buffering"] = "no"
        self.headers["Connection"] = "close"
        self.channels = channels
        self.after = after
        self.is_typed = is_typed
        self.caller = caller

    async def serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Send until the client goes, is too slow, may no longer listen, or the server ends."""
        headers = [
            (name.encode("latin1"), value.encode("latin1"))
            for name, value in self.items()
            if name.lower() != "content-length"
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        connection: Connection | None = scope.get("abm.connection")
        subscriber = Subscriber(frozenset(self.channels))
        gone = asyncio.ensure_future(disconnected(receive))
        if connection is not None:
            connection.watch()
        try:
            begun = await HUB.join(subscriber, self.after)
            async with aclosing(self._texts(subscriber, begun, gone)) as texts:
                async for text in texts:
                    if not await _has_room(connection, subscriber, gone):
                        break
                    await _write(send, text)
            if not gone.done():
                await self._say_goodbye(subscriber, connection, send)
        finally:
            HUB.leave(subscriber)
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
            if connection is not None:
                connection.unwatch()

    async def _texts(
        self, subscriber: Subscriber, begun: Begun, gone: asyncio.Future[None]
    ) -> AsyncGenerator[str]:
        is_behind = begun.missed is not None or bool(begun.replay)
        # Until it has been told, a client that comes back must ask from the same place again.
        place = self.after if is_behind and self.after is not None else begun.last
        yield _connected(subscriber, self.channels, place)
        if begun.missed is not None:
            yield _missed(begun.missed, begun.last, is_typed=self.is_typed)
        for frame in begun.replay:
            if frame.channel in subscriber.channels:
                yield frame.text(is_typed=self.is_typed)
        while not (subscriber.missed or subscriber.is_ended):
            heard = await _next(subscriber, gone)
            if gone.done():
                return
            if heard is not None:
                yield heard.text(is_typed=self.is_typed)
            elif await sync_to_async(self.caller.may_listen, thread_sensitive=False)():
                yield ": keepalive\n\n"
            else:
                return

    async def _say_goodbye(
        self, subscriber: Subscriber, connection: Connection | None, send: Send
    ) -> None:
        """Tell a slow client what it missed, then close; one that never reads is cut off."""
        if subscriber.missed:
            missed = subscriber.missed + subscriber.frames.qsize()
            await _write(send, _missed(missed, None, is_typed=self.is_typed))
        if connection is not None:
            connection.unwatch()
            close = connection.close_within(CUT_SECONDS)
            await send({"type": "http.response.body", "body": b""})
            close()
        else:
            await send({"type": "http.response.body", "body": b""})


async def _next(subscriber: Subscriber, gone: asyncio.Future[None]) -> Frame | None:
    """The next frame; None after a while without one, or when it is over."""
    if not subscriber.frames.empty():
        return subscriber.frames.get_nowait()
    waiting = asyncio.ensure_future(subscriber.frames.get())
    try:
        both: set[asyncio.Future[Any]] = {waiting, gone}
        await asyncio.wait(both, timeout=KEEPALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()


async def _has_room(
    connection: Connection | None, subscriber: Subscriber, gone: asyncio.Future[None]
) -> bool:
    """Wait until the client has read enough; False if it is over before that."""
    while connection is not None and connection.is_full:
        if subscriber.missed or subscriber.is_ended:
            return False
        await asyncio.wait({gone}, timeout=FLOW_SECONDS)
        if gone.done():
            return False
    return not gone.done()


async def _write(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _connected(subscriber: Subscriber, channels: tuple[str, ...], last: int) -> str:
    data = {
        "clientId": subscriber.client_id,
        "channels": list(channels),
        "timestamp": stamp(timezone.now()),
    }
    return f"id: {last}\nevent: connected\ndata: {json.dumps(data)}\n\n"


def _missed(count: int, last: int | None, *, is_typed: bool) -> str:
    """Without an id, a client that comes back asks again from the last frame that it got."""
    data = {"event": "events.missed", "missed": count, "_timestamp": stamp(timezone.now())}
    head = f"id: {last}\n" if last is not None else ""
    kind = "event: events.missed\n" if is_typed else ""
    return f"{head}{kind}data: {json.dumps(data)}\n\n"


@endpoint(
    router,
    "GET",
    "/events/subscribe",
    response=str,
    errors=[503],
    summary="Hear what changes",
    extra={
        "responses": {
            200: {
                "description": "Server-sent events, until the client goes.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        }
    },
)
def subscribe(
    request: HttpRequest,
    channels: Channels = DEFAULT_CHANNELS,
    typed: bool = False,
) -> HttpResponse:
    """`Last-Event-ID` brings what was missed, for a day. `typed=1` adds an `event:` line."""
    if len(HUB.subscribers) >= MOST_SUBSCRIBERS:
        raise Refused("TOO_MANY_LISTENERS", "Too many listen already. Try later.", status=503)
    after = request.headers.get("Last-Event-ID", "").strip()
    is_id = after.isascii() and after.isdecimal() and len(after) < 19
    return EventStream(
        tuple(dict.fromkeys(channels.split(","))),
        after=int(after) if is_id else None,
        is_typed=typed,
        caller=_caller(request),
    )


def _caller(request: HttpRequest) -> Caller:
    token = getattr(request, "token_pk", None)
    session = None if token else request.session
    return Caller(
        person(request).pk,
        token,
        session.session_key if session else None,
        type(session) if session else None,
    )
