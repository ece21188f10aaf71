"""How fast bytes come in."""

from __future__ import annotations

import math

WINDOW = 5.0
"""Seconds after which a sample weighs a third of a fresh one."""
STEP = 0.2
STEADY_AFTER = 2.0
MEASURED_AFTER = 1.0


class Rate:
    """Bytes per second, an exponential mean over WINDOW without the slow climb from zero."""

    def __init__(self, at: float) -> None:
        self._at, self._bytes, self._seconds, self._mean = at, 0, 0.0, 0.0

    def sample(self, received: int, at: float) -> None:
        passed = at - self._at
        if passed < STEP:
            return
        fade = math.exp(-passed / WINDOW)
        self._mean = self._mean * fade + (received - self._bytes) / passed * (1 - fade)
        self._at, self._bytes, self._seconds = at, received, self._seconds + passed

    @property
    def value(self) -> float | None:
        known = 1 - math.exp(-self._seconds / WINDOW)
        return self._mean / known if known > 0 else None

    @property
    def is_steady(self) -> bool:
        """It has been watched long enough to foretell an end."""
        return self._seconds >= STEADY_AFTER


def measured(amount: int, seconds: float) -> float | None:
    """Bytes per second over all of a phase, None until it has lasted long enough to tell."""
    return amount / seconds if amount and seconds >= MEASURED_AFTER else None
