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
After = Callable[[], None]


class Waiting(HttpResponse):
    """Stands for an answer that is still to come; the server replaces it.

    The server closes it when the other is sent, or is not wanted any more; `after` is done then.
    """

    def __init__(self, wait: Wait, finish: Finish, after: After | None = None) -> None:
        super().__init__()
        self.wait = wait
        self.finish = finish
        self._after = after

    def close(self) -> None:
        try:
            if self._after is not None:
                self._after()
        finally:
            super().close()

    def hand_over(self, answer: HttpResponseBase) -> HttpResponseBase:
        """Give `answer` the headers and cookies that the middlewares put on this one."""
        for name, value in self.items():
            if name.lower() not in {"content-type", "content-length"}:
                answer.headers.setdefault(name, value)
        answer.cookies.update(self.cookies)
        return answer


def answer_later(
    request: HttpRequest, *, wait: Wait, finish: Finish, after: After | None = None
) -> HttpResponseBase:
    """`finish(await wait())`, by the server if it can, else here (Django's test client).

    `after` is what nobody has to wait for: it is done once, whether or not there was an answer.
    """
    if getattr(request, "can_wait", False):
        return Waiting(wait, finish, after)
    try:
        return finish(async_to_sync(wait)())
    finally:
        if after is not None:
            after()
