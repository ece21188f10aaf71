"""How answers leave: with an ETag, as 304 to who has them, packed; lists from memory.

A list is kept as bytes under the newest Event's id and the caller's role. Whatever changes a list
writes an Event, so the next caller gets the new one; what changes by itself (a countdown, a time
of the last look) is a second old at most.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
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

Key = tuple[str, str, str]

_lock = threading.Lock()
_kept: OrderedDict[Key, tuple[int, float, Body]] = OrderedDict()


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
        if self.etag in request.headers.get("If-None-Match", ""):
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


def from_memory(request: HttpRequest, role: str) -> tuple[HttpResponse | None, int]:
    """A kept answer, if there is one that still holds, and the version to `keep` another under."""
    known = version()
    found = _kept.get(_key(request, role))
    if found is None or found[0] != known or time.monotonic() - found[1] > KEPT_SECONDS:
        return None, known
    return found[2].answer(request), known


def keep(request: HttpRequest, role: str, known: int, content: bytes) -> HttpResponse:
    """Keep a list that was read after `known` was the newest event, and answer with it."""
    body, key = Body.of(content), _key(request, role)
    if len(key[1]) <= LONGEST_QUERY:
        with _lock:
            _kept[key] = (known, time.monotonic(), body)
            _kept.move_to_end(key)
            while len(_kept) > MOST_KEPT:
                _kept.popitem(last=False)
    return body.answer(request)


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


def _key(request: HttpRequest, role: str) -> Key:
    return request.path, request.META.get("QUERY_STRING", ""), role
