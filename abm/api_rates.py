"""How often a token may call: a bucket for reads and one for changes, refilled all the time.

In the memory of each web process, so N processes let through N times as much: it stops a program
that has lost its mind, and is no billing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from django.conf import settings

from accounts.refused import Refused

MOST_BUCKETS = 10_000
BURST_SECONDS = 10.0
"""What may be asked at once is what may be asked in so many seconds."""

_lock = threading.Lock()
_buckets: OrderedDict[tuple[int, bool], Bucket] = OrderedDict()


@dataclass(slots=True)
class Bucket:
    """What is left to ask, and when that was true (monotonic seconds)."""

    left: float
    at: float


def note_request(token: int, *, is_write: bool) -> None:
    """Count a request of a token. Raises Refused 429 with the seconds after which to come again."""
    a_minute = settings.API_WRITES_PER_MINUTE if is_write else settings.API_READS_PER_MINUTE
    if not a_minute:
        return
    rate, now = a_minute / 60, time.monotonic()
    most = max(1.0, rate * BURST_SECONDS)
    with _lock:
        bucket = _buckets.pop((token, is_write), None) or Bucket(most, now)
        bucket.left = min(most, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        is_well = bucket.left >= 1
        if is_well:
            bucket.left -= 1
        _buckets[token, is_write] = bucket
        while len(_buckets) > MOST_BUCKETS:
            _buckets.popitem(last=False)
    if not is_well:
        seconds = max(1, round((1 - bucket.left) / rate))
        raise Refused(
            "TOO_MANY_REQUESTS",
            f"This token may ask {a_minute:,} times a minute. Wait {seconds} s.",
            status=429,
            seconds=seconds,
        )


def forget() -> None:
    """Every bucket is full again."""
    with _lock:
        _buckets.clear()
