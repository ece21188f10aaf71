"""Whether an engine's memory need fits the cards of a host, and who holds the rest, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engines.models import Engine
from hosts.gpu.values import Vendor
from hosts.gpu.words import gib
from hosts.models import Gpu, Host


@dataclass(frozen=True, slots=True)
class Place:
    """What can be handed to an engine: a card, or a part of one that is cut. Bytes."""

    uuid: str
    name: str
    total: int | None
    free: int | None
    card: Gpu
    """The card that it is, or is a part of."""

    def fits(self, need: int | None) -> bool | None:
        """Whether so much is free; None where one of the two is unknown."""
        return None if need is None or self.free is None else self.free >= need


def maker_of(host: Host, chosen: Sequence[str] = ()) -> Vendor:
    """Whose cards an engine gets there: those that were chosen, else NVIDIA's before others'."""
    cards = [card for card in host.gpus.all() if not chosen or card.uuid in chosen]
    makers = {card.vendor for card in cards}
    return next((vendor for vendor in Vendor if vendor in makers), Vendor.NVIDIA)


def places_on(host: Host) -> list[Place]:
    """Every card that can be chosen on a host, parts instead of a card that was cut by MIG."""
    return [place for card in host.gpus.all() for place in _places_of(card)]


def _places_of(card: Gpu) -> list[Place]:
    if not card.can_be_chosen:
        return []
    if not card.is_mig:
        return [Place(card.uuid, str(card), card.memory_total, card.memory_free, card)]
    return [_part_of(card, part) for part in card.partitions if part["uuid"]]


def _part_of(card: Gpu, part: dict[str, Any]) -> Place:
    total, used = part["memory_total"], part["memory_used"]
    free = None if total is None or used is None else max(total - used, 0)
    return Place(part["uuid"], f"{card}, part {part['name'] or part['uuid']}", total, free, card)


def need_of(engine: Engine) -> int | None:
    """Bytes that an engine needs of a card, as its definition says of it or of its model."""
    own = (engine.definition.get("abm") or {}).get("vram_mb")
    if isinstance(own, int | float):
        return int(own * 1_000_000)
    rows = [row for row in engine.definition.get("models") or [] if isinstance(row, dict)]
    usual = engine.definition.get("default_model")
    sizes = [row.get("vram_gb") for row in rows if row.get("name") == usual] or [
        row.get("vram_gb") for row in rows
    ]
    known = [size for size in sizes if isinstance(size, int | float)]
    return int(min(known) * 1_000_000_000) if known else None


def best_place(places: Iterable[Place], need: int | None) -> Place | None:
    """Where it fits and leaves least over; where nobody knows its need, the emptiest one."""
    known = [place for place in places if place.free is not None]
    if need is None:
        return max(known, key=lambda place: place.free or 0, default=None)
    fitting = [place for place in known if place.fits(need)]
    return min(fitting, key=lambda place: place.free or 0, default=None)


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why it does not fit: for good, or only as long as others hold what it needs."""

    text: str
    is_for_now: bool


def shortage(
    places: Sequence[Place], need: int | None, *, of: Engine | None = None
) -> Shortage | None:
    """What is wrong with the best of these places; None if it fits, or nobody can tell.

    What `of` holds itself does not stand in its way.
    """
    known = [place for place in places if place.free is not None and place.total is not None]
    if need is None or not known:
        return None
    if any(_free(place, of) >= need for place in known):
        return None
    large = [place for place in known if (place.total or 0) >= need]
    if not large:
        largest = max(known, key=lambda place: place.total or 0)
        has = f"the largest card here, {largest.name}, has {gib(largest.total)}"
        return Shortage(f"it needs {gib(need)} of VRAM, {has}", is_for_now=False)
    best = max(large, key=lambda place: _free(place, of))
    words = f"it needs {gib(need)} of VRAM, {best.name} has {gib(_free(best, of))} free"
    return Shortage(f"{words}{_held(best, need, of)}", is_for_now=True)


def _free(place: Place, of: Engine | None) -> int:
    own = sum(row["memory"] or 0 for row in place.card.holders if of and row["engine"] == of.pk)
    return (place.free or 0) + own


def _held(place: Place, need: int, of: Engine | None) -> str:
    """Who holds the rest, and whom to stop: the fewest engines, the smallest that do."""
    rows = [row for row in place.card.holders if row["memory"] and row["engine"] != (of and of.pk)]
    used = (place.total or 0) - _free(place, of)
    others = used - sum(row["memory"] for row in rows)
    parts = [f"{row['name']} holds {gib(row['memory'])}" for row in rows]
    if others > 0:
        parts.append(f"other programs hold {gib(others)}")
    held = f": {', '.join(parts)}" if parts else ""
    to_stop = _to_stop(rows, need - _free(place, of))
    if not to_stop:
        return held
    names = " and ".join(row["name"] for row in to_stop)
    return f"{held}; it would fit after stopping {names} ({gib(_sum(to_stop))})"


def _to_stop(rows: Sequence[dict[str, Any]], missing: int) -> list[dict[str, Any]]:
    """The smallest holder that alone is enough, else the largest until it is; none if never."""
    enough = [row for row in rows if row["memory"] >= missing]
    if enough:
        return [min(enough, key=lambda row: row["memory"])]
    stopped: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: -row["memory"]):
        stopped.append(row)
        if _sum(stopped) >= missing:
            return stopped
    return []


def _sum(rows: Sequence[dict[str, Any]]) -> int:
    return sum(row["memory"] for row in rows)
