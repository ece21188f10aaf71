"""What the server calls: static files, /healthz, pages in one hop, sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.signals import request_started
from django.http import HttpResponseBase
from servestatic import ServeStaticASGI

from abm.addresses import AddressedRequest, KnownOrigin
from abm.events_stream import EventStream
from abm.middleware import answer_of
from abm.routing import websocket_urlpatterns
from abm.streaming import disconnected, send_pieces, unless_gone
from accounts.refused import Refused
from jobs.waiting import Waiting

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class PageHandler(ASGIHandler):
    """Django's handler, with one hop to a thread for the whole chain of a view.

    The stock handler hops for each sync middleware: an empty view then gives 231 requests a
    second instead of 865. A view that waits for an engine (`Waiting`) is finished in a second
    hop and holds no thread between the two.
    """

    request_class = AddressedRequest

    def __init__(self) -> None:
        super().__init__()
        self._chain = BaseHandler()
        self._chain.load_middleware(is_async=False)
        self._pool = ThreadPoolExecutor(settings.WEB_THREADS, thread_name_prefix="abm-web")

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        request, error = self.create_request(scope, body)
        if request is None:
            body.close()
            await self.send_response(error, send)
            return
        with closing(body):
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(self._pool, self._answer, request)
            if isinstance(response, EventStream):
                await response.serve(scope, receive, send)
            elif isinstance(response, Waiting) or getattr(response, "is_async", False):
                await self._slowly(request, response, scope, receive, send)
            else:
                await self.send_response(response, send)

    async def _slowly(
        self, request: Any, response: Any, scope: Any, receive: Any, send: Any
    ) -> None:
        """Wait, or send piece by piece; not a moment longer than there is somebody to hear it."""
        gone = asyncio.ensure_future(disconnected(receive))
        waiting = response if isinstance(response, Waiting) else None
        try:
            if waiting is not None:
                response = await self._awaited(request, waiting, gone)
            if getattr(response, "is_async", False):
                await self._stream(response, scope, send, gone)
            else:
                await self.send_response(response, send)
        except RequestAborted:
            return
        finally:
            gone.cancel()
            if waiting is not None:
                self._pool.submit(_close, waiting)

    def _answer(self, request: Any) -> HttpResponseBase:
        request_started.send(sender=self.__class__, scope=request.scope)
        request.can_wait = True
        response = self._chain.get_response(request)
        if not response.streaming and not isinstance(response, Waiting):
            response.close()  # here, in the thread that has the database connection
        return response

    async def _stream(
        self, response: Any, scope: Any, send: Any, gone: asyncio.Future[None]
    ) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": [(k.encode("ascii"), v.encode("latin1")) for k, v in response.items()],
            }
        )
        try:
            await send_pieces(
                aiter(response), connection=scope.get("abm.connection"), gone=gone, send=send
            )
        finally:
            await asyncio.get_running_loop().run_in_executor(self._pool, response.close)

    async def _awaited(
        self, request: Any, waiting: Waiting, gone: asyncio.Future[None]
    ) -> HttpResponseBase:
        refused, value = None, None
        try:
            value = await unless_gone(waiting.wait(), gone)
        except Refused as refusal:
            refused = refusal

        def finished() -> HttpResponseBase:
            try:
                answer = answer_of(request, refused) if refused else waiting.finish(value)
            except Refused as refusal:
                answer = answer_of(request, refusal)
            return waiting.hand_over(answer)

        return await asyncio.get_running_loop().run_in_executor(self._pool, finished)

    async def send_response(self, response: Any, send: Any) -> None:
        if response.streaming:
            await super().send_response(response, send)
            return
        headers = [(k.encode("ascii"), v.encode("latin1")) for k, v in response.items()]
        headers += [
            (b"Set-Cookie", cookie.output(header="").strip().encode("ascii"))
            for cookie in response.cookies.values()
        ]
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        await send({"type": "http.response.body", "body": response.content})


def _close(waiting: Waiting) -> None:
    try:
        waiting.close()
    except Exception:  # nobody waits for this any more
        log.exception("What was left to do after an answer went wrong.")


class Front:
    """Answers /healthz before anything that could be slow, then hands on."""

    def __init__(self, pages: Any) -> None:
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/healthz":
            await self._pages(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"status":"ok"}'})


class StaticFiles(ServeStaticASGI):
    """Collected files, served before Django; names with a hash may be kept for ever."""

    def immutable_file_test(self, path: str, url: str) -> bool:
        name = url.rsplit("/", 1)[-1].split(".")
        return len(name) > 2 and len(name[-2]) == 12


def make_application() -> Any:
    """The whole ASGI application; made after the static files are collected."""
    pages: Any = PageHandler()
    if settings.STATIC_ROOT.is_dir():
        pages = StaticFiles(pages, root=str(settings.STATIC_ROOT), prefix="static")
    sockets = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
    return ProtocolTypeRouter({"http": Front(pages), "websocket": KnownOrigin(sockets)})
