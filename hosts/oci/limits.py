"""How often a registry may be asked: what it says of that in its headers.

`RateLimit-Limit: 100;w=21600` and `RateLimit-Remaining` as Docker Hub sends them
(docs.docker.com/docker-hub/usage/pulls), `Retry-After` as in RFC 9110, section 10.2.3.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 24 * 3600.0
_COUNT = re.compile(r"\s*(\d{1,9})(?:\s*;\s*w=(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests are left of how many in a window of seconds; None where it is not said."""

    remaining: int
    limit: int | None = None
    window: int | None = None


def rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """What the headers of an answer say of the limit; None if nothing."""
    remaining = _COUNT.match(headers.get("ratelimit-remaining", ""))
    if not remaining:
        return None
    limit = _COUNT.match(headers.get("ratelimit-limit", ""))
    window = remaining[2] or (limit[2] if limit else None)
    return RateLimit(
        int(remaining[1]), int(limit[1]) if limit else None, int(window) if window else None
    )


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait, 0 to a day; None if it is not said. `now` is a Unix time."""
    text = headers.get("retry-after", "").strip()
    current = time.time() if now is None else now
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(until - current, 0.0), LONGEST_WAIT)


def waiting_words(seconds: float | None) -> str:
    """How long that is, for a sentence."""
    if seconds is None:
        return "a while"
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} minutes"
    return f"{round(seconds / 3600)} hours"
