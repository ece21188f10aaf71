"""What the server calls: static files, /healthz, pages in one hop, sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from asgiref.sync import iscoroutinefunction
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.base import BaseHandler
from django.core.signals import request_started
from django.http import HttpResponseBase
from django.http.response import Http404
from django.urls import resolve
from servestatic import ServeStaticASGI

from abm.routing import websocket_urlpatterns

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class PageHandler(ASGIHandler):
    """Django's handler, with one hop to a thread for the whole chain of a sync view.

    The stock handler hops for each sync middleware: an empty view then gives 231 requests a
    second instead of 865. Coroutine views (Try it) take the stock way and hold no thread.
    """

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
        if _waits(request):
            body.seek(0)
            await super().handle(scope, _once(body.read()), send)
            return
        with closing(body):
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(self._pool, self._answer, request)
            await self.send_response(response, send)

    def _answer(self, request: ASGIRequest) -> HttpResponseBase:
        request_started.send(sender=self.__class__, scope=request.scope)
        return self._chain.get_response(request)

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
        await asyncio.get_running_loop().run_in_executor(self._pool, response.close)


def _waits(request: ASGIRequest) -> bool:
    """Whether the view is a coroutine: it waits for an engine and must not hold a thread."""
    if request.method != "POST" or not request.path_info.startswith("/engines/"):
        return False
    try:
        return bool(iscoroutinefunction(resolve(request.path_info).func))
    except Http404:
        return False


def _once(body: bytes) -> Receive:
    """A `receive` that gives a body which was read already, and then stays silent."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        silence: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        return await silence

    return receive


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
    return ProtocolTypeRouter(
        {"http": Front(pages), "websocket": AllowedHostsOriginValidator(sockets)}
    )
