"""Answers that wait, for an engine or for a job's end, without holding a thread.

A view checks and returns at once; the server does the waiting on its event loop and lets the view's
second half finish in a thread. Two hops in all: a coroutine view under sync middlewares takes one
for each of them, which cost more than the engine's own answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, HttpResponseBase

Wait = Callable[[], Awaitable[Any]]
Finish = Callable[[Any], HttpResponseBase]


class Waiting(HttpResponse):
    """Stands for an answer that is still to come; the server replaces it."""

    def __init__(self, wait: Wait, finish: Finish) -> None:
        super().__init__()
        self.wait = wait
        self.finish = finish

    def hand_over(self, answer: HttpResponseBase) -> HttpResponseBase:
        """Give `answer` the headers and cookies that the middlewares put on this one."""
        for name, value in self.items():
            if name.lower() not in {"content-type", "content-length"}:
                answer.headers.setdefault(name, value)
        answer.cookies.update(self.cookies)
        return answer


def answer_later(request: HttpRequest, *, wait: Wait, finish: Finish) -> HttpResponseBase:
    """`finish(await wait())`, by the server if it can, else here (Django's test client)."""
    if getattr(request, "can_wait", False):
        return Waiting(wait, finish)
    return finish(async_to_sync(wait)())
