"""How answers leave: with an ETag, as 304 to who has them, packed; lists from memory.

A list is kept as bytes under the newest Event's id and the caller's role. Whatever changes a list
writes an Event, so the next caller gets the new one; what changes by itself (a countdown, a time
of the last look) is a second old at most. A kept list knows the headers that the middlewares gave
it, so that `KeptListMiddleware` can send it without asking them again.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Self

from django.db.models import Max
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from jobs.models import Event

WORTH_PACKING = 1_000
"""Bytes below which gzip only costs."""
KEPT_SECONDS = 1.0
MOST_KEPT = 200
LONGEST_QUERY = 200
PRIVATE = "private, no-cache"

Address = tuple[str, str, bool]
"""Path, query, and whether it came by https."""

_lock = threading.Lock()
_kept: OrderedDict[Address, dict[str, Kept]] = OrderedDict()


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of an answer, packed as well where that is worth it, and their ETag."""

    content: bytes
    packed: bytes
    etag: str

    @classmethod
    def of(cls, content: bytes) -> Self:
        packed = gzip.compress(content, 5, mtime=0) if len(content) >= WORTH_PACKING else b""
        etag = hashlib.sha256(content).hexdigest()[:24]
        return cls(content, packed, f'W/"{etag}"')

    def answer(self, request: HttpRequest) -> HttpResponse:
        """As this caller wants it."""
        known = request.headers.get("If-None-Match", "")
        if self.etag in known or known.strip() == "*":
            answer = HttpResponse(status=304)
            del answer["Content-Type"]
        elif self.packed and "gzip" in request.headers.get("Accept-Encoding", ""):
            answer = HttpResponse(self.packed, content_type="application/json")
            answer["Content-Encoding"] = "gzip"
        else:
            answer = HttpResponse(self.content, content_type="application/json")
        answer["ETag"], answer["Cache-Control"] = self.etag, PRIVATE
        answer["Vary"] = "Authorization, X-API-Key, Cookie, Accept-Encoding"
        return answer


@dataclass(slots=True)
class Kept:
    """A list as it was when event `known` was the newest, at `at` (monotonic seconds)."""

    known: int
    body: Body
    at: float = field(default_factory=time.monotonic)
    headers: dict[str, str] | None = None
    """Those of the middlewares, once such an answer has left."""

    def holds(self, known: int) -> bool:
        return self.known == known and time.monotonic() - self.at <= KEPT_SECONDS

    def answer(self, request: HttpRequest) -> HttpResponse:
        """As this caller wants it; knows as `kept` what it was made of."""
        answer = self.body.answer(request)
        answer.kept = self  # type: ignore[attr-defined]
        return answer


def kept_at(request: HttpRequest) -> dict[str, Kept]:
    """What is kept for this address, by role; whether it holds is not said."""
    return _kept.get(_address(request), {})


def from_memory(request: HttpRequest, role: str) -> tuple[HttpResponse | None, int]:
    """A kept answer, if there is one that still holds, and the version to `keep` another under."""
    known = version()
    found = kept_at(request).get(role)
    if found is None or not found.holds(known):
        return None, known
    return found.answer(request), known


def keep(request: HttpRequest, role: str, known: int, content: bytes) -> HttpResponse:
    """Keep a list that was read after `known` was the newest event, and answer with it."""
    kept, address = Kept(known, Body.of(content)), _address(request)
    if len(address[1]) <= LONGEST_QUERY:
        with _lock:
            _kept[address] = {**_kept.get(address, {}), role: kept}
            _kept.move_to_end(address)
            while len(_kept) > MOST_KEPT:
                _kept.popitem(last=False)
    return kept.answer(request)


def forget() -> None:
    """Keep nothing."""
    with _lock:
        _kept.clear()


def version() -> int:
    """The id of the newest event: that of everything a list shows."""
    return Event.objects.aggregate(newest=Max("pk"))["newest"] or 0


def leave(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    """What is true of every answer: nobody else keeps it; a read has an ETag and is packed."""
    answer.headers.setdefault("Cache-Control", PRIVATE)
    is_read = request.method == "GET" and answer.status_code == 200
    if not is_read or answer.streaming or not isinstance(answer, HttpResponse):
        return answer
    if not answer["Content-Type"].startswith("application/json") or not answer.content:
        return answer
    return Body.of(answer.content).answer(request)


def _address(request: HttpRequest) -> Address:
    return request.path, request.META.get("QUERY_STRING", ""), request.is_secure()
