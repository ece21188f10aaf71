"""How the memory of cards is written: in GiB, as nvidia-smi counts it."""

from __future__ import annotations

GIB, MIB = 2**30, 2**20


def gib(size: float | None) -> str:
    """`24 GiB`, `4.2 GiB`, `18 MiB`; `unknown` for None."""
    if size is None:
        return "unknown"
    if abs(size) < GIB / 10:
        return f"{size / MIB:.0f} MiB"
    return f"{size / GIB:.1f}".removesuffix(".0") + " GiB"
