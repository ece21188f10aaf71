"""What the page of notifications shows."""

from __future__ import annotations

from typing import Any

from abm.notify.models import Delivery, NotifyTarget

SHOWN = 20


def list_context() -> dict[str, Any]:
    """Every target, and the last messages with how they went."""
    deliveries = Delivery.objects.select_related("target").order_by("-pk")[:SHOWN]
    return {"targets": NotifyTarget.objects.all(), "deliveries": deliveries}
