"""What a long download tells of itself: two phases, speed, silence, and its layers one by one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

STALL_NOTICE_SECONDS = 60.0
"""So long may nothing come before people are told."""
LAYERS_SHOWN = 200
KEPT = ("unpacked", "cached", "layers")
"""What is still worth reading of a download that failed."""
WORDS = {
    "waiting": "Waits",
    "downloading": "Downloads",
    "retrying": "Tries again",
    "verifying": "Is checked",
    "downloaded": "Downloaded",
    "extracting": "Unpacks",
    "done": "Done",
    "cached": "Was here",
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One part of what is downloaded; sizes are bytes, `state` one of WORDS."""

    id: str
    state: str
    done: int
    total: int | None

    @property
    def word(self) -> str:
        """The state for people."""
        return WORDS.get(self.state, self.state)

    @property
    def is_moving(self) -> bool:
        return self.state in {"downloading", "extracting"}


@dataclass(frozen=True, slots=True)
class Transfer:
    """How a download stands. Sizes are bytes; None where nobody could say honestly."""

    done: int
    total: int | None
    unpacked: int = 0
    """Of the same bytes, those put in place: the second phase."""
    cached: int = 0
    """Bytes that need no download; not in `total`."""
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    stalled_for: float = 0.0
    """Seconds since anything moved."""
    layers: tuple[Layer, ...] = ()

    @property
    def columns(self) -> dict[str, Any]:
        """The values of the job's columns."""
        is_stalled = self.stalled_for >= STALL_NOTICE_SECONDS
        since = timezone.now() - timedelta(seconds=self.stalled_for)
        return {
            "progress_unit": "bytes",
            "progress_done": self.done,
            "progress_total": self.total,
            "rate": self.bytes_per_second,
            "transfer": {
                "unpacked": self.unpacked,
                "cached": self.cached,
                "seconds_left": self.seconds_left,
                "stalled_since": since.replace(microsecond=0).isoformat() if is_stalled else "",
                "layers": [
                    [layer.id, layer.state, layer.done, layer.total]
                    for layer in self.layers[:LAYERS_SHOWN]
                ],
            },
        }


@dataclass(frozen=True, slots=True)
class TransferShown:
    """The column `transfer` of a job as pages read it; empty for what has no such numbers."""

    row: dict[str, Any]

    @property
    def unpacked(self) -> int:
        return int(self.row.get("unpacked") or 0)

    @property
    def cached(self) -> int:
        return int(self.row.get("cached") or 0)

    @property
    def seconds_left(self) -> float | None:
        return self.row.get("seconds_left")

    @property
    def stalled_since(self) -> datetime | None:
        """Since when nothing has come; None while it moves, and in the first minute."""
        text = self.row.get("stalled_since")
        return datetime.fromisoformat(text) if text else None

    @property
    def stalled_for(self) -> timedelta:
        since = self.stalled_since
        return timezone.now() - since if since else timedelta()

    @property
    def layers(self) -> list[Layer]:
        return [Layer(*values) for values in self.row.get("layers") or ()]


def ended(row: dict[str, Any], *, is_good: bool) -> dict[str, Any]:
    """What stays of the column when the job ends: of a success nothing."""
    return {} if is_good else {key: row[key] for key in KEPT if key in row}
