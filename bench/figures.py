"""Numbers and the table they stand in."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `beside` is the limit or the peer it is held against."""

    what: str
    measured: str
    beside: str
    verdict: str


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def at_most(what: str, values: Sequence[float], unit: str, limit: float, name: str) -> Row:
    """A row for a figure that should stay under a limit: its median is compared."""
    middle = statistics.median(values)
    spread = (
        f" ({min(values):.4g} to {max(values):.4g}, n={len(values)})" if len(values) > 1 else ""
    )
    return Row(
        what,
        f"{middle:.4g} {unit}{spread}",
        f"{name}: {limit:g} {unit}",
        f"{'holds' if middle <= limit else 'MISSED'}, {middle / limit:.2f} of it",
    )


def at_least(what: str, value: float, unit: str, limit: float, name: str) -> Row:
    """A row for a figure that should reach a limit."""
    return Row(
        what,
        f"{value:.4g} {unit}",
        f"{name}: {limit:g} {unit}",
        f"{'holds' if value >= limit else 'MISSED'}, {value / limit:.2f} of it",
    )


def table(rows: Sequence[Row]) -> str:
    lines = ["| What | Measured | Beside | |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.measured} | {row.beside} | {row.verdict} |" for row in rows]
    return "\n".join(lines)
