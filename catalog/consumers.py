"""Live catalog: cards say where an engine is installed, sources when they were synced."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import QueryDict
from django.template.loader import render_to_string

from accounts.models import User
from catalog.queries import CatalogFilter, entries_page, sources_shown
from jobs.consumers import LiveConsumer


class CatalogConsumer(LiveConsumer):
    """The list of cards and the line of sources, drawn anew when one of them changes."""

    topics: ClassVar[tuple[str, ...]] = ("catalog", "engines")

    async def heard_topics(self) -> set[str]:
        query = self.scope.get("query_string", b"").decode("ascii", "replace")
        self.filter = CatalogFilter.read(QueryDict(query).dict())
        return await super().heard_topics()

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want("cards", self.render_cards)
            self.want("sources", render_sources)

    def narrow(self, query: dict[str, str]) -> None:
        if (wanted := CatalogFilter.read(query)) != self.filter:
            self.filter = wanted
            self.want("cards", self.render_cards)

    async def catalog_changed(self, message: dict[str, Any]) -> None:
        self.want("cards", self.render_cards)
        self.want("sources", render_sources)
        self.want("trouble", render_trouble)

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        self.want("sources", render_sources)

    async def engine_changed(self, message: dict[str, Any]) -> None:
        self.want("cards", self.render_cards)

    async def engine_removed(self, message: dict[str, Any]) -> None:
        self.want("cards", self.render_cards)

    def render_cards(self, user: User) -> str:
        context = {"page": entries_page(self.filter), "wanted": self.filter, "viewer": user}
        return render_to_string("catalog/_cards.html", context)


def render_sources(user: User) -> str:
    context = {"sources": sources_shown(), "viewer": user}
    return render_to_string("catalog/_sources.html", context)


def render_trouble(user: User) -> str:
    return render_to_string("catalog/_trouble.html", {"sources": sources_shown()})
