"""The live list of tests of a host reached by SSH."""

from __future__ import annotations

from typing import Any, ClassVar

from django.template.loader import render_to_string

from accounts.models import User
from hosts.models import RemoteAccess
from jobs.consumers import LiveConsumer


class AccessConsumer(LiveConsumer):
    """The tests of one way to a host, as they go on."""

    topics: ClassVar[tuple[str, ...]] = ("hosts",)

    async def connect(self) -> None:
        self.access_pk = int(self.scope["url_route"]["kwargs"]["pk"])
        await super().connect()
        if hasattr(self, "wanted"):
            self._want()

    async def access_changed(self, message: dict[str, Any]) -> None:
        if int(message["pk"]) == self.access_pk:
            self._want()

    def _want(self) -> None:
        self.want("checks", lambda user: render_checks(self.access_pk, user))


def access_shown(pk: int, user: User) -> RemoteAccess | None:
    """For admins; what somebody is adding is that person's alone."""
    access = RemoteAccess.objects.filter(pk=pk).select_related("host").first()
    if access is None or not user.is_admin:
        return None
    return access if access.host is not None or access.owner_pk == user.pk else None


def render_checks(pk: int, user: User) -> str:
    access = access_shown(pk, user)
    if access is None:
        return ""
    return render_to_string("hosts/add/_checks.html", {"access": access, "viewer": user})
