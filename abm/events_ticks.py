"""What the stream tells without an event: how every engine stands, and how abm is."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from abm.api_about import health_now
from abm.events_frames import Frame
from catalog.models import EngineType
from engines.api_shapes import WORDS
from engines.models import Engine

TYPES = (EngineType.TTS, EngineType.TEXT, EngineType.STT, EngineType.AUDIO)


def status_frame(after: int) -> Frame:
    """`engine.status`: every installed engine by type, with the transitions that are under way."""
    found: dict[str, list[dict[str, Any]]] = {kind.value: [] for kind in TYPES}
    now = timezone.now()
    rows = Engine.objects.filter(state__in=(*Engine.INSTALLED, Engine.State.UNINSTALLING))
    for engine in rows.select_related("host").defer("definition"):
        stops_at = engine.stops_at
        left = max(0, round((stops_at - now).total_seconds())) if stops_at else None
        found[engine.engine_type].append(
            {
                "variantId": engine.address,
                "isEnabled": int(engine.is_enabled),
                "isRunning": engine.is_running,
                "status": WORDS[engine.state] if engine.is_enabled else "disabled",
                "secondsUntilAutoStop": left,
                "port": engine.port if engine.is_alive else None,
            }
        )
    payload = {
        "engines": found,
        **{f"has{kind.capitalize()}Engine": _has(rows) for kind, rows in found.items()},
    }
    return Frame("engines", "engine.status", payload, now, after)


def _has(rows: list[dict[str, Any]]) -> bool:
    return any(row["isEnabled"] for row in rows)


def health_frame(after: int) -> Frame:
    """`health.update`: what GET /api/health answers."""
    payload = health_now().model_dump(mode="json", by_alias=True)
    return Frame("health", "health.update", payload, timezone.now(), after)
