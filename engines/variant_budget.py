"""How much registries were asked for sizes lately, and which want to be left alone for a while.

Kept in the cache: losing it costs a few requests and nothing else.
"""

from __future__ import annotations

from django.core.cache import cache
from django.utils import timezone

ASKED_SECONDS = 60
"""A dialog has the same image asked about once in so long."""
DAY_SECONDS = 86_400


def spent() -> int:
    """Requests made in this minute."""
    return int(cache.get(_minute(), 0))


def spend(requests: int) -> None:
    key = _minute()
    cache.add(key, 0, 120)
    cache.incr(key, requests)


def _minute() -> str:
    return f"measure-{timezone.now():%d-%H-%M}"


def rest(registry: str, seconds: float) -> None:
    """Leave a registry alone for so long: it asked for that."""
    cache.set(f"measure-rest-{registry}", True, seconds)


def is_resting(registry: str) -> bool:
    return bool(cache.get(f"measure-rest-{registry}"))


def is_first_wish(variant_pk: int) -> bool:
    """Whether nobody wanted the numbers of this variant in the last minute."""
    return cache.add(f"measure-wish-{variant_pk}", True, ASKED_SECONDS)


def is_first_failure_today(registry: str) -> bool:
    """Whether the log does not have it yet."""
    return cache.add(f"measure-failed-{registry}", True, DAY_SECONDS)
