"""Live pages: a socket that answers each event with the partial that the page already shows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import close_old_connections
from django.http import QueryDict
from django.template.loader import render_to_string

from accounts.models import User
from jobs.exposition import Histogram
from jobs.models import JobLine
from jobs.queries import JobFilter, job_list, job_shown, lines_with_gaps, log_tail, running_count
from jobs.signed_in import person_now, until_out

Render = Callable[[User], str]

POOL = ThreadPoolExecutor(max_workers=4, thread_name_prefix="abm-live")
NOT_SIGNED_IN = 4401
MAX_MESSAGE = 10_000


LATENCY = Histogram()
"""From a change to the message that shows it on an open page, by the clocks of both processes."""


class LiveConsumer(AsyncWebsocketConsumer):
    """Joins its topics and sends parts, each rendered anew with its user's rights.

    Events that come while a part is being drawn are gathered by key, so a burst costs one
    drawing. Every page shows the ring of running jobs, so every page hears `jobs`.
    """

    topics: ClassVar[tuple[str, ...]] = ()
    told_at: float | None = None

    async def connect(self) -> None:
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.accept()
            await self.close(code=NOT_SIGNED_IN)
            return
        self.user_pk = user.pk
        self.wanted: dict[Hashable, Render] = {}
        self.drawing: asyncio.Task[None] | None = None
        self.waits_since: float | None = None
        for topic in await self.heard_topics():
            await self.channel_layer.group_add(topic, self.channel_name)
            self.groups.append(topic)
        await self.accept()
        self.watch = asyncio.create_task(self._close_when_out())

    async def dispatch(self, message: dict[str, Any]) -> None:
        """A topic tells more than one page shows: what it has no method for is passed over."""
        if hasattr(self, message["type"].replace(".", "_")):
            self.told_at = message.get("at")
            await super().dispatch(message)

    async def heard_topics(self) -> set[str]:
        return {"jobs", *self.topics}

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A page tells what its list was narrowed to since it was opened."""
        query = narrowed_to(text_data or "")
        if query is not None and hasattr(self, "wanted"):
            self.narrow(query)

    def narrow(self, query: dict[str, str]) -> None:
        """Lists draw themselves by `query` from now on; other pages have nothing to narrow."""

    async def disconnect(self, code: int) -> None:
        for task in (getattr(self, "drawing", None), getattr(self, "watch", None)):
            if task is not None:
                task.cancel()

    async def _close_when_out(self) -> None:
        """Also where nothing is drawn, as on a page that only follows a log."""
        await until_out(self.user_pk, self.scope.get("session"), role=User.Role.VIEWER, pool=POOL)
        await self.close(code=NOT_SIGNED_IN)

    def want(self, key: Hashable, render: Render) -> None:
        """Draw a part soon and send it; a later wish with the same key replaces this one."""
        self.wanted[key] = render
        if self.waits_since is None:
            self.waits_since = self.told_at
        if self.drawing is None or self.drawing.done():
            self.drawing = asyncio.create_task(self._draw())

    async def _draw(self) -> None:
        while self.wanted:
            renders = list(self.wanted.values())
            self.wanted.clear()
            since, self.waits_since = self.waits_since, None
            parts = await asyncio.get_running_loop().run_in_executor(POOL, self._render, renders)
            if parts is None:
                await self.close(code=NOT_SIGNED_IN)
                return
            for html in parts:
                # One message a part: a browser that parses a table row after a div loses it.
                await self.send(text_data=html)
            if parts and since is not None:
                LATENCY.observe(max(0.0, time.time() - since))

    def _render(self, renders: list[Render]) -> list[str] | None:
        close_old_connections()
        user = person_now(self.user_pk, self.scope.get("session"))
        if user is None:
            return None
        return [html for render in renders if (html := render(user))]

    async def job_changed(self, message: dict[str, Any]) -> None:
        self.want("ring", render_ring)

    async def job_progressed(self, message: dict[str, Any]) -> None:
        """Most pages show no bar."""


def narrowed_to(message: str) -> dict[str, str] | None:
    """The address of a list out of a page's message (`parts/_narrowed.html`)."""
    if len(message) > MAX_MESSAGE:
        return None
    try:
        values = json.loads(message)
    except (ValueError, RecursionError):
        return None
    address = values.get("narrowed") if isinstance(values, dict) else None
    return QueryDict(address).dict() if isinstance(address, str) else None


class ListConsumer(LiveConsumer):
    """A list that people narrow: drawn on each connect and when they narrow it otherwise.

    It is drawn with `is_live`, so that it does not tell the socket again what that told it: one
    that comes late would bring back what people have left.
    """

    filters: ClassVar[Any]
    """The filter's class: its `read` takes what people chose."""
    render_list: Callable[[User], str]
    """The list, narrowed by `filter`."""
    rows: set[int] | None = None
    """What was drawn last."""

    async def heard_topics(self) -> set[str]:
        query = self.scope.get("query_string", b"").decode("ascii", "replace")
        self.filter = self.filters.read(QueryDict(query).dict())
        return await super().heard_topics()

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want("list", self.render_list)

    def narrow(self, query: dict[str, str]) -> None:
        if (wanted := self.filters.read(query)) != self.filter:
            self.filter = wanted
            self.want("list", self.render_list)


class JobsConsumer(ListConsumer):
    """The list of jobs: bars move in place; the list is drawn anew when a job comes or ends."""

    filters: ClassVar[Any] = JobFilter
    filter: JobFilter

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        self.want("list", self.render_list)

    async def job_progressed(self, message: dict[str, Any]) -> None:
        pk = int(message["pk"])
        if pk in (self.rows or ()):
            # The bar alone: a row swapped four times a second would lose clicks on its buttons.
            self.want(("bar", pk), lambda user: render_progress(pk))

    def render_list(self, user: User) -> str:
        found = job_list(self.filter)
        self.rows = found.pks
        context = {"found": found, "wanted": self.filter, "viewer": user, "is_live": True}
        return render_to_string("jobs/_list.html", context)


class JobConsumer(LiveConsumer):
    """One job: its head and bar, and each new line of its log once."""

    async def heard_topics(self) -> set[str]:
        self.job_pk = int(self.scope["url_route"]["kwargs"]["pk"])
        self.last_line = self._asked_from()
        self.is_first = True
        return {"jobs", f"job-{self.job_pk}"}

    def _asked_from(self) -> int:
        """The number of the last line that the page showed when it was loaded (`?after=`)."""
        query = self.scope.get("query_string", b"").decode("ascii", "replace")
        value = QueryDict(query).get("after", "")
        return int(value) if value.isdecimal() and len(value) < 10 else 0

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            # What happened between the page's answer and this socket.
            self.want("head", lambda user: render_job(self.job_pk, user))
            self.want("lines", self.render_lines)

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        if int(message["pk"]) == self.job_pk:
            self.want("head", lambda user: render_job(self.job_pk, user))
            self.want("lines", self.render_lines)

    async def job_progressed(self, message: dict[str, Any]) -> None:
        if int(message["pk"]) == self.job_pk:
            self.want("bar", lambda user: render_part("jobs/_bar.html", self.job_pk))
            self.want("steps", lambda user: render_part("jobs/_steps.html", self.job_pk))
            self.want("layers", lambda user: render_layers(self.job_pk))

    async def job_logged(self, message: dict[str, Any]) -> None:
        self.want("lines", self.render_lines)

    def render_lines(self, user: User) -> str:
        lines = list(JobLine.objects.filter(job_id=self.job_pk, number__gt=self.last_line)[:2_000])
        if not lines:
            return ""
        if self.is_first:
            # A socket that comes back asks with the number of the page's first load: the pane is
            # drawn anew, because what it shows since then is not known here.
            self.is_first = False
            tail = log_tail(self.job_pk)
            self.last_line = tail.last_number
            return render_to_string("jobs/_log.html", {"job_pk": self.job_pk, "tail": tail})
        shown = lines_with_gaps(lines, after=self.last_line)
        self.last_line = lines[-1].number
        return render_to_string("jobs/_lines_added.html", {"job_pk": self.job_pk, "lines": shown})


def render_ring(user: User) -> str:
    return render_to_string("jobs/_ring.html", {"running_jobs": running_count()})


def render_progress(pk: int) -> str:
    """The small bar of a list's row."""
    job = job_shown(pk)
    return render_to_string("jobs/_progress.html", {"job": job, "live": True}) if job else ""


def render_part(template: str, pk: int) -> str:
    """A part of a job's page that is the same for everybody."""
    job = job_shown(pk)
    return render_to_string(template, {"job": job}) if job else ""


def render_layers(pk: int) -> str:
    """The layers of what a job pulls; nothing for one that pulls nothing."""
    job = job_shown(pk)
    return render_to_string("jobs/_layers.html", {"job": job}) if job and job.transfer else ""


def render_job(pk: int, user: User) -> str:
    job = job_shown(pk)
    return render_to_string("jobs/_head.html", {"job": job, "viewer": user}) if job else ""
