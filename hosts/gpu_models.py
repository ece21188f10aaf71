"""The graphics cards of hosts, as they were read last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db import models
from django.utils import timezone

from hosts.gpu.values import Vendor
from hosts.gpu.words import gib

COLOURS = 4
"""How many holders of one card have a colour of their own in `static/app.css`."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the bar of a card: who has it, and how much. `start` and `width` in percent."""

    kind: str
    """`holder-1` to `holder-4`, `others` or `free`."""
    name: str
    size: int | None
    engine: int | None = None
    start: float = 0.0
    width: float = 0.0

    @property
    def text(self) -> str:
        return gib(self.size)


class Gpu(models.Model):
    """One card of one host. None and empty are unknown; memory in bytes, power in watts.

    Cards of this machine have a row for each of its hosts, because engines of both hold them.
    """

    host = models.ForeignKey("hosts.Host", on_delete=models.CASCADE, related_name="gpus")
    uuid = models.CharField(max_length=80)
    vendor = models.CharField(max_length=8, default="nvidia")
    index = models.PositiveSmallIntegerField(null=True, blank=True)
    name = models.CharField(max_length=200)
    memory_total = models.BigIntegerField(null=True, blank=True)
    memory_used = models.BigIntegerField(null=True, blank=True)
    utilization = models.FloatField(null=True, blank=True)
    temperature = models.FloatField(null=True, blank=True)
    power = models.FloatField(null=True, blank=True)
    power_limit = models.FloatField(null=True, blank=True)
    driver = models.CharField(max_length=40, blank=True)
    cuda = models.CharField(max_length=20, blank=True)
    compute_capability = models.CharField(max_length=20, blank=True)
    is_mig = models.BooleanField(null=True, blank=True)
    partitions = models.JSONField(default=list, blank=True, help_text="[hosts.gpu Partition]")
    holders = models.JSONField(
        default=list, blank=True, help_text="[{engine, name, memory}], the largest first."
    )
    others = models.PositiveIntegerField(
        null=True, blank=True, help_text="Processes on it that are no engine's."
    )
    read_at = models.DateTimeField()

    STALE_AFTER = timedelta(seconds=75)

    class Meta:
        ordering = ["host_id", "index", "uuid"]
        constraints = [models.UniqueConstraint(fields=["host", "uuid"], name="gpu_once_per_host")]

    def __str__(self) -> str:
        return self.name if self.index is None else f"GPU {self.index}, {self.name}"

    @property
    def is_stale(self) -> bool:
        return timezone.now() - self.read_at > self.STALE_AFTER

    @property
    def memory_free(self) -> int | None:
        if self.memory_total is None or self.memory_used is None:
            return None
        return max(self.memory_total - self.memory_used, 0)

    @property
    def choice_name(self) -> str:
        """As its maker's programs take it; empty where they cannot be told to take this card."""
        if self.vendor == Vendor.INTEL:
            return "" if self.index is None else str(self.index)
        if self.vendor == Vendor.AMD:
            return self.uuid if self.uuid.startswith("GPU-") else ""
        # A card without a UUID is kept as `index-0`, and goes by its number alone.
        return self.uuid.removeprefix("index-")

    @property
    def can_be_chosen(self) -> bool:
        """Whether abm can hand out exactly this card."""
        return bool(self.choice_name)

    @property
    def memory_text(self) -> str:
        """`15.7 of 24 GiB free`, as far as it is known."""
        if self.memory_free is None:
            total = f", {gib(self.memory_total)} in all" if self.memory_total else ""
            return f"free memory unknown{total}"
        return f"{gib(self.memory_free)} of {gib(self.memory_total)} free"

    @property
    def segments(self) -> list[Segment]:
        """The bar: engines, then all others, then what is free; empty where that is unknown."""
        if not self.memory_total or self.memory_used is None:
            return []
        known = [row for row in self.holders if row["memory"]]
        pieces = [
            Segment(f"holder-{number % COLOURS + 1}", row["name"], row["memory"], row["engine"])
            for number, row in enumerate(known)
        ]
        rest = self.memory_used - sum(row["memory"] for row in known)
        if rest > 0:
            pieces.append(Segment("others", "others", rest))
        pieces.append(Segment("free", "free", self.memory_free))
        return _placed(pieces, self.memory_total)

    @property
    def silent_holders(self) -> list[str]:
        """Engines that are on it, of which the card does not tell how much they hold."""
        return [str(row["name"]) for row in self.holders if not row["memory"]]


def _placed(pieces: list[Segment], total: int) -> list[Segment]:
    """Side by side; together never wider than the bar, whatever the numbers say."""
    placed, start = [], 0.0
    for piece in pieces:
        width = max(0.0, min(100 * (piece.size or 0) / total, 100 - start))
        placed.append(
            Segment(
                piece.kind, piece.name, piece.size, piece.engine, round(start, 2), round(width, 2)
            )
        )
        start += width
    return placed
