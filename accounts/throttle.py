"""Slows down who guesses passwords or asks for mails: a pause for a name, an address, and both.

A name from an address pauses first, so that a stranger who guesses keeps nobody else out for long;
the wide limits are for those who guess from many addresses, or for many names.
"""

from __future__ import annotations

import hashlib

from django.core.cache import cache

ATTEMPTS = 5
ATTEMPTS_OF_ADDRESS = 20
ATTEMPTS_AT_NAME = 50
PAUSE_SECONDS = 300
MAILS, MAIL_PAUSE_SECONDS = 5, 3_600


def is_paused(name: str, address: str) -> bool:
    """Whether this name, this address, or the two together had too many wrong passwords."""
    return any(_count(key) >= most for key, most in _limits(name, address).items())


def note_failure(name: str, address: str) -> None:
    for key in _limits(name, address):
        _add(key, PAUSE_SECONDS)


def note_success(name: str, address: str) -> None:
    """Forgets what was typed wrong from here; guesses at other names or from elsewhere count on."""
    cache.delete(_key(name, address))


def may_mail(*asked: str) -> bool:
    """Whether one more mail may be asked for; each of the words counts by itself."""
    keys = [_key("mail", word) for word in asked]
    is_free = all(_count(key) < MAILS for key in keys)
    for key in keys:
        _add(key, MAIL_PAUSE_SECONDS)
    return is_free


def may_prove(name: str) -> bool:
    """Whether one who is signed in may say their password once more, to change it."""
    return _count(_key("prove", name)) < ATTEMPTS


def note_unproved(name: str) -> None:
    _add(_key("prove", name), PAUSE_SECONDS)


def _limits(name: str, address: str) -> dict[str, int]:
    return {
        _key(name, address): ATTEMPTS,
        _key("", address): ATTEMPTS_OF_ADDRESS,
        _key(name, ""): ATTEMPTS_AT_NAME,
    }


def _key(name: str, address: str) -> str:
    digest = hashlib.sha256(f"{name.lower()}|{address}".encode()).hexdigest()
    return f"login-{digest}"


def _count(key: str) -> int:
    return int(cache.get(key, 0))


def _add(key: str, seconds: int) -> None:
    cache.add(key, 0, seconds)
    try:
        cache.incr(key)
    except ValueError:  # it expired between the two calls
        cache.set(key, 1, seconds)
