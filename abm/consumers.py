"""The live dashboard, and what is live on the settings page."""

from __future__ import annotations

from typing import Any, ClassVar

from django.template.loader import render_to_string

from abm.queries import PARTS
from accounts.models import User
from catalog.consumers import render_sources
from hosts.consumers import render_logins
from jobs.consumers import LiveConsumer, render_progress
from jobs.models import Job


class DashboardConsumer(LiveConsumer):
    """Draws anew the parts that an event can touch."""

    topics: ClassVar[tuple[str, ...]] = ("engines", "hosts", "catalog")

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want_parts(*PARTS)

    def want_parts(self, *names: str) -> None:
        for name in names:
            self._want_part(name)

    def _want_part(self, name: str) -> None:
        self.want(name, lambda user: render_dashboard_part(name, user))

    async def engine_changed(self, message: dict[str, Any]) -> None:
        self.want_parts("attention", "steps", "hosts", "running", "events")

    async def engine_removed(self, message: dict[str, Any]) -> None:
        await self.engine_changed(message)

    async def host_changed(self, message: dict[str, Any]) -> None:
        self.want_parts("attention", "hosts", "events")

    async def host_seen(self, message: dict[str, Any]) -> None:
        self.want_parts("hosts", "running")

    async def catalog_changed(self, message: dict[str, Any]) -> None:
        self.want_parts("attention", "events")

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        self.want_parts("attention", "steps", "hosts", "jobs", "events")

    async def job_progressed(self, message: dict[str, Any]) -> None:
        pk = int(message["pk"])
        # The bar alone: a row swapped four times a second would lose clicks on its buttons.
        self.want(("bar", pk), lambda user: render_open_bar(pk))


class SettingsConsumer(LiveConsumer):
    """The settings page: sources that are synced, logins that are tested."""

    topics: ClassVar[tuple[str, ...]] = ("catalog", "registries")

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want("sources", render_sources)
            self.want("logins", render_logins)

    async def catalog_changed(self, message: dict[str, Any]) -> None:
        self.want("sources", render_sources)

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        self.want("sources", render_sources)

    async def registry_changed(self, message: dict[str, Any]) -> None:
        self.want("logins", render_logins)


def render_dashboard_part(name: str, user: User) -> str:
    return render_to_string(f"abm/_{name}.html", {"viewer": user, **PARTS[name]()})


def render_open_bar(pk: int) -> str:
    """The bar of a job that the page shows; nothing for one that has ended meanwhile."""
    is_open = Job.objects.filter(pk=pk, status__in=Job.OPEN).exists()
    return render_progress(pk) if is_open else ""
