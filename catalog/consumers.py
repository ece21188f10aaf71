"""Live catalog: cards say where an engine is installed, sources when they were synced."""

from __future__ import annotations

from typing import Any, ClassVar

from django.template.loader import render_to_string

from accounts.models import User
from catalog.queries import CatalogFilter, entries_page, sources_shown
from jobs.consumers import ListConsumer


class CatalogConsumer(ListConsumer):
    """The list of cards and the line of sources, drawn anew when one of them changes."""

    topics: ClassVar[tuple[str, ...]] = ("catalog", "engines")
    filters: ClassVar[Any] = CatalogFilter
    filter: CatalogFilter

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want("sources", render_sources)

    async def catalog_changed(self, message: dict[str, Any]) -> None:
        self.want("list", self.render_list)
        self.want("sources", render_sources)
        self.want("trouble", render_trouble)

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        self.want("sources", render_sources)

    async def engine_changed(self, message: dict[str, Any]) -> None:
        self.want("list", self.render_list)

    async def engine_removed(self, message: dict[str, Any]) -> None:
        self.want("list", self.render_list)

    def render_list(self, user: User) -> str:
        page = entries_page(self.filter)
        context = {"page": page, "wanted": self.filter, "viewer": user, "is_live": True}
        return render_to_string("catalog/_cards.html", context)


def render_sources(user: User) -> str:
    context = {"sources": sources_shown(), "viewer": user}
    return render_to_string("catalog/_sources.html", context)


def render_trouble(user: User) -> str:
    return render_to_string("catalog/_trouble.html", {"sources": sources_shown()})
