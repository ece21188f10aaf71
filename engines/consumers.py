"""Live engines: rows of the list, one engine's page, its log as it is written."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, ClassVar

from django.db import close_old_connections
from django.http import QueryDict
from django.template.loader import render_to_string

from accounts.models import User
from engines.links.figures import stats_of
from engines.models import Engine
from engines.pages import TABS, engine_context
from engines.queries import EngineFilter, engine_shown, engines_page
from engines.work import follow_log
from hosts.runners.base import RunnerError
from jobs.consumers import ListConsumer, LiveConsumer, render_progress
from jobs.models import Job
from jobs.outcome import CancelToken

log = logging.getLogger(__name__)

LOG_TAIL = 500
SEND_SECONDS = 0.1
SEND_LINES = 400


class EnginesConsumer(ListConsumer):
    """The list: rows change in place; the list is drawn anew when one comes or goes."""

    topics: ClassVar[tuple[str, ...]] = ("engines", "hosts")
    filters: ClassVar[Any] = EngineFilter
    filter: EngineFilter

    async def engine_changed(self, message: dict[str, Any]) -> None:
        pk = int(message["pk"])
        self.want(("engine", pk), lambda user: self.render_row(pk, user))

    async def engine_removed(self, message: dict[str, Any]) -> None:
        self.want("list", self.render_list)

    async def host_seen(self, message: dict[str, Any]) -> None:
        self.want("list", self.render_list)

    async def host_changed(self, message: dict[str, Any]) -> None:
        self.want("list", self.render_list)

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        pk = int(message["pk"])
        self.want(("job", pk), lambda user: self.render_row_of_job(pk, user))

    async def job_progressed(self, message: dict[str, Any]) -> None:
        pk = int(message["pk"])
        # The bar alone: a row swapped four times a second would lose clicks on its buttons.
        self.want(("bar", pk), lambda user: render_progress_of(pk, self.rows or set()))

    def render_list(self, user: User) -> str:
        page = engines_page(self.filter)
        self.rows = {engine.pk for engine in page}
        context = {"page": page, "wanted": self.filter, "viewer": user, "is_live": True}
        return render_to_string("engines/_list.html", context)

    def render_row(self, pk: int, user: User) -> str:
        engine = engine_shown(pk)
        is_drawn = self.rows is not None and pk in self.rows
        if engine is None or not is_drawn or self.filter.is_about_state:
            return self.render_list(user)
        return render_to_string("engines/_engine.html", {"engine": engine, "viewer": user})

    def render_row_of_job(self, job_pk: int, user: User) -> str:
        pk = Job.objects.filter(pk=job_pk).values_list("engine_id", flat=True).first()
        return self.render_row(pk, user) if pk else ""


def render_progress_of(job_pk: int, engine_pks: set[int]) -> str:
    """The bar of a job if it is one of these engines'; nothing else."""
    is_shown = Job.objects.filter(pk=job_pk, engine_id__in=engine_pks).exists()
    return render_progress(job_pk) if is_shown else ""


class EngineConsumer(LiveConsumer):
    """One engine's page: its head, and the parts of the open tab that can change."""

    topics: ClassVar[tuple[str, ...]] = ("engines", "hosts")
    LIVE_TABS: ClassVar[dict[str, str]] = {
        "try": "engines/_gate.html",
        "models": "engines/_models.html",
        "updates": "engines/_updates.html",
        "jobs": "engines/_jobs.html",
        "details": "engines/_details.html",
    }

    async def heard_topics(self) -> set[str]:
        self.engine_pk = int(self.scope["url_route"]["kwargs"]["pk"])
        query = self.scope.get("query_string", b"").decode("ascii", "replace")
        tab = QueryDict(query).get("tab", "")
        self.tab = tab if tab in TABS else "try"
        return await super().heard_topics()

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want("head", self.render_head)
            self.want("tab", self.render_tab)

    async def engine_changed(self, message: dict[str, Any]) -> None:
        if int(message["pk"]) == self.engine_pk:
            self.want("head", self.render_head)
            self.want("tab", self.render_tab)

    async def engine_removed(self, message: dict[str, Any]) -> None:
        await self.engine_changed(message)

    async def engine_sampled(self, message: dict[str, Any]) -> None:
        if int(message["pk"]) == self.engine_pk and self.tab == "stats":
            self.want("sample", self.render_sample)

    async def host_seen(self, message: dict[str, Any]) -> None:
        self.want("head", self.render_head)

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        self.want("head", self.render_head)
        if self.tab in ("jobs", "updates"):
            self.want("tab", self.render_tab)

    async def job_progressed(self, message: dict[str, Any]) -> None:
        pk = int(message["pk"])
        self.want(("bar", pk), lambda user: render_progress_of(pk, {self.engine_pk}))

    def render_head(self, user: User) -> str:
        engine = engine_shown(self.engine_pk)
        if engine is None:
            return render_to_string("engines/_gone.html", {"pk": self.engine_pk, "viewer": user})
        return render_to_string("engines/_head.html", {"engine": engine, "viewer": user})

    def render_sample(self, user: User) -> str:
        engine = engine_shown(self.engine_pk)
        context = {"engine": engine, "stats": stats_of(self.engine_pk), "viewer": user}
        return render_to_string("engines/_stats_sample.html", context) if engine else ""

    def render_tab(self, user: User) -> str:
        engine = engine_shown(self.engine_pk)
        if engine is None or self.tab not in self.LIVE_TABS:
            return ""
        return render_to_string(self.LIVE_TABS[self.tab], engine_context(engine, user, self.tab))


class LogsConsumer(EngineConsumer):
    """The engine's page with its log open: each line is sent once, in small packets."""

    async def connect(self) -> None:
        await super().connect()
        if not hasattr(self, "wanted"):
            return
        self.tab = "logs"
        self.loop = asyncio.get_running_loop()
        self.lines: list[str] = []
        self.skipped = 0
        self.is_first = True
        self.ended = CancelToken()
        self.sending = asyncio.create_task(self._send_lines())
        threading.Thread(target=self._follow, name="abm-log", daemon=True).start()

    async def disconnect(self, code: int) -> None:
        if hasattr(self, "ended"):
            self.ended.cancel()
            self.sending.cancel()
        await super().disconnect(code)

    def _follow(self) -> None:
        """Runs in a thread of its own for as long as the page is open."""
        close_old_connections()
        engine = Engine.objects.select_related("host").filter(pk=self.engine_pk).first()
        close_old_connections()
        if engine is None:
            return
        try:
            for line in follow_log(engine, tail=LOG_TAIL, cancel=self.ended):
                self._hand_over(line)
        except RunnerError as error:
            self._hand_over(f"abm cannot read the log: {error.message}")

    def _hand_over(self, line: str) -> None:
        if not self.ended.is_cancelled and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.lines.append, line)

    async def _send_lines(self) -> None:
        """At most ten packets a second; what a flood leaves behind is told as a number."""
        while True:
            await asyncio.sleep(SEND_SECONDS)
            lines, self.lines = self.lines, []
            if not lines and not self.is_first:
                continue
            skipped = max(0, len(lines) - SEND_LINES) if not self.is_first else 0
            context = {"pk": self.engine_pk, "lines": lines[skipped:], "skipped": skipped}
            template = "engines/_log.html" if self.is_first else "engines/_log_added.html"
            self.is_first = False
            await self.send(text_data=render_to_string(template, context))
