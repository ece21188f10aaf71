"""Slows down who guesses passwords: five wrong ones for a name from an address, then a pause."""

from __future__ import annotations

import hashlib

from django.core.cache import cache

ATTEMPTS = 5
PAUSE_SECONDS = 300


def _key(name: str, address: str) -> str:
    digest = hashlib.sha256(f"{name.lower()}|{address}".encode()).hexdigest()
    return f"login-{digest}"


def is_paused(name: str, address: str) -> bool:
    return int(cache.get(_key(name, address), 0)) >= ATTEMPTS


def note_failure(name: str, address: str) -> None:
    key = _key(name, address)
    cache.add(key, 0, PAUSE_SECONDS)
    try:
        cache.incr(key)
    except ValueError:  # it expired between the two calls
        cache.set(key, 1, PAUSE_SECONDS)


def note_success(name: str, address: str) -> None:
    cache.delete(_key(name, address))
