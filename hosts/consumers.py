"""Live hosts: cards of the list, and one host's page."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import QueryDict
from django.template.loader import render_to_string

from accounts.models import User
from hosts.gpus import ask_gpus
from hosts.queries import JOBS_SHOWN, charts_of, host_context, host_shown, hosts_shown, logins_shown
from jobs.consumers import LiveConsumer, render_progress
from jobs.models import Job


class HostsConsumer(LiveConsumer):
    """The list: a card changes in place; what counts over hosts draws the list anew."""

    topics: ClassVar[tuple[str, ...]] = ("hosts", "engines")

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want("list", render_list)

    async def host_changed(self, message: dict[str, Any]) -> None:
        pk = int(message["pk"])
        self.want(("host", pk), lambda user: render_card(pk, user))

    async def host_seen(self, message: dict[str, Any]) -> None:
        await self.host_changed(message)

    async def gpus_changed(self, message: dict[str, Any]) -> None:
        pk = int(message["pk"])
        self.want(("gpus", pk), lambda user: render_gpus(pk, user))

    async def engine_changed(self, message: dict[str, Any]) -> None:
        self.want("list", render_list)

    async def engine_removed(self, message: dict[str, Any]) -> None:
        self.want("list", render_list)

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        self.want("list", render_list)


class HostConsumer(LiveConsumer):
    """One host's page: all of it but the form, which a person may be filling in."""

    topics: ClassVar[tuple[str, ...]] = ("hosts", "engines")
    PARTS: ClassVar[tuple[str, ...]] = (
        "hosts/_head.html",
        "hosts/_gpus.html",
        "hosts/_strays.html",
        "hosts/_engines.html",
        "hosts/_folders.html",
        "hosts/_models.html",
        "hosts/_disk.html",
        "hosts/_jobs.html",
        "hosts/_details.html",
    )

    async def heard_topics(self) -> set[str]:
        self.host_pk = int(self.scope["url_route"]["kwargs"]["pk"])
        query = self.scope.get("query_string", b"").decode("ascii", "replace")
        words = QueryDict(query).get("cards", "").split(",")
        self.charted = {int(word) for word in words if word.isdecimal()}
        return await super().heard_topics()

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want_all()

    def want_all(self) -> None:
        for template in self.PARTS:
            self.want_part(template)

    def want_part(self, template: str) -> None:
        self.want(template, lambda user: render_host_part(template, self.host_pk, user))

    async def host_changed(self, message: dict[str, Any]) -> None:
        if int(message["pk"]) == self.host_pk:
            self.want_part("hosts/_head.html")
            self.want_part("hosts/_details.html")

    async def host_seen(self, message: dict[str, Any]) -> None:
        await self.host_changed(message)

    async def gpus_changed(self, message: dict[str, Any]) -> None:
        if int(message["pk"]) == self.host_pk:
            self.want("gpus", lambda user: render_gpus(self.host_pk, user))
            self.want("samples", lambda user: render_samples(self.host_pk, self.charted))

    async def strays_changed(self, message: dict[str, Any]) -> None:
        if int(message["pk"]) == self.host_pk:
            self.want_part("hosts/_strays.html")

    async def disk_changed(self, message: dict[str, Any]) -> None:
        if int(message["pk"]) == self.host_pk:
            self.want_part("hosts/_folders.html")
            self.want_part("hosts/_models.html")
            self.want_part("hosts/_disk.html")

    async def engine_changed(self, message: dict[str, Any]) -> None:
        self.want_part("hosts/_head.html")
        self.want_part("hosts/_engines.html")

    async def engine_removed(self, message: dict[str, Any]) -> None:
        await self.engine_changed(message)

    async def job_changed(self, message: dict[str, Any]) -> None:
        await super().job_changed(message)
        self.want_part("hosts/_head.html")
        self.want_part("hosts/_jobs.html")

    async def job_progressed(self, message: dict[str, Any]) -> None:
        pk = int(message["pk"])
        self.want(("bar", pk), lambda user: render_bar_of_host(pk, self.host_pk))


def render_list(user: User) -> str:
    return render_to_string("hosts/_list.html", {"hosts": hosts_shown(), "viewer": user})


def render_card(pk: int, user: User) -> str:
    host = host_shown(pk)
    return render_to_string("hosts/_host.html", {"host": host, "viewer": user}) if host else ""


def render_gpus(pk: int, user: User) -> str:
    """The cards of a host; whoever is shown them wants to see them move."""
    host = host_shown(pk)
    if host is None:
        return ""
    ask_gpus(host)
    return render_to_string("hosts/_gpus.html", {"host": host, "viewer": user})


def render_samples(pk: int, charted: set[int]) -> str:
    """The newest figures of each card whose charts the page has, as it was drawn with them."""
    host = host_shown(pk)
    cards = charts_of(host) if host and charted else []
    context = {"cards": [card for card in cards if card.gpu.pk in charted]}
    return render_to_string("hosts/_gpu_samples.html", context)


def render_host_part(template: str, pk: int, user: User) -> str:
    host = host_shown(pk)
    if host is None:
        return ""
    return render_to_string(template, {**host_context(host), "viewer": user})


def render_bar_of_host(pk: int, host_pk: int) -> str:
    """The bar of a job that the host's page shows; nothing for any other."""
    shown = Job.objects.filter(host_id=host_pk).values_list("pk", flat=True)[:JOBS_SHOWN]
    return render_progress(pk) if pk in set(shown) else ""


def render_logins(user: User) -> str:
    """The logins to registries; nothing for who may not see them."""
    if not user.is_admin:
        return ""
    context = {"logins": logins_shown(), "viewer": user}
    return render_to_string("hosts/_registries.html", context)
