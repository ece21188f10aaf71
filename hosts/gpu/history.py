"""What cards were used for, over the last hour, in the memory of the process that reads them.

It is worth nothing after a restart. An abm whose link is another process has none to show.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime

from hosts.gpu.values import CardReading

KEPT = 720
"""An hour of readings, one each five seconds."""
HOUR = 3600.0
Row = list[float | None]
"""Epoch seconds, bytes of memory in use, % of use, °C."""

_lock = threading.Lock()
_rings: dict[tuple[int, str], deque[Row]] = {}


def keep(host_pk: int, card: CardReading, *, at: datetime) -> None:
    """Remember what was read of a card of a host."""
    row = [round(at.timestamp(), 1), card.memory_used, card.utilization, card.temperature]
    with _lock:
        _rings.setdefault((host_pk, card.uuid), deque(maxlen=KEPT)).append(row)


def rows_of(host_pk: int, uuid: str) -> list[Row]:
    """The last hour, oldest first; none where nobody reads it."""
    with _lock:
        rows = list(_rings.get((host_pk, uuid), ()))
    if not rows:
        return []
    newest = rows[-1][0] or 0.0
    return [row for row in rows if newest - (row[0] or 0.0) <= HOUR]
