"""The page of notifications, live: how a test went shows up by itself."""

from __future__ import annotations

from typing import Any, ClassVar

from django.template.loader import render_to_string

from abm.notify.queries import list_context
from abm.notify.work import TOPIC
from accounts.models import User
from jobs.consumers import LiveConsumer


class NotifyConsumer(LiveConsumer):
    """Draws the targets and the last messages anew."""

    topics: ClassVar[tuple[str, ...]] = (TOPIC,)

    async def connect(self) -> None:
        await super().connect()
        if hasattr(self, "wanted"):
            self.want("list", render_targets)

    async def notify_changed(self, message: dict[str, Any]) -> None:
        self.want("list", render_targets)


def render_targets(user: User) -> str:
    """Nothing for who may not see them."""
    if not user.is_admin:
        return ""
    return render_to_string("abm/notify/_list.html", {**list_context(), "viewer": user})
