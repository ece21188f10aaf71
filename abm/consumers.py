"""The live dashboard."""

from __future__ import annotations

from typing import Any, ClassVar

from django.template.loader import render_to_string

from abm.queries import dashboard_parts
from accounts.models import User
from jobs.consumers import LiveConsumer


class DashboardConsumer(LiveConsumer):
    """Draws the whole dashboard anew: it is small, and any change may touch several parts."""

    topics: ClassVar[tuple[str, ...]] = ("engines", "hosts", "catalog")

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want("all", render)

    async def changed(self, message: dict[str, Any]) -> None:
        self.want("all", render)

    engine_changed = engine_removed = host_changed = host_seen = catalog_changed = changed
    job_progressed = changed

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        await self.changed(message)


def render(user: User) -> str:
    return render_to_string("abm/_dashboard.html", {"viewer": user, **dashboard_parts()})
