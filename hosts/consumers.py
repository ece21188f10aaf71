"""Live hosts: each card is drawn anew when its host or an engine on it changes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.template.loader import render_to_string

from accounts.models import User
from hosts.models import Host
from hosts.queries import hosts_shown
from jobs.consumers import LiveConsumer


class HostsConsumer(LiveConsumer):
    """Every card."""

    topics: ClassVar[tuple[str, ...]] = ("hosts", "engines")

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want_hosts()

    def want_hosts(self) -> None:
        self.want("hosts", self.render)

    async def host_changed(self, message: dict[str, Any]) -> None:
        self.want_hosts()

    async def host_seen(self, message: dict[str, Any]) -> None:
        self.want_hosts()

    async def engine_changed(self, message: dict[str, Any]) -> None:
        self.want_hosts()

    async def engine_removed(self, message: dict[str, Any]) -> None:
        self.want_hosts()

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        self.want_hosts()

    def shown(self) -> Any:
        return hosts_shown()

    def render(self, user: User) -> str:
        parts: list[Host] = list(self.shown())
        return "".join(
            render_to_string("hosts/_host.html", {"host": host, "viewer": user}) for host in parts
        )


class HostConsumer(HostsConsumer):
    """One host's page."""

    def shown(self) -> Any:
        return hosts_shown().filter(pk=self.scope["url_route"]["kwargs"]["pk"])
