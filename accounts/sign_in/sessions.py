"""Where somebody is signed in, and ending that from elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused

BROWSERS = ("Firefox", "Edg", "OPR", "Chrome", "Safari", "curl", "python")
SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux")
WORDS = {"Edg": "Edge", "OPR": "Opera", "Mac OS X": "macOS", "python": "a program"}


@dataclass(frozen=True, slots=True)
class SessionShown:
    """One sign-in that lasts."""

    pk: int
    browser: str
    address: str
    began_at: datetime
    is_this: bool


def sessions_of(person: User, *, key: str | None) -> list[SessionShown]:
    """Theirs, newest first; `key` is that of the one who asks."""
    rows = UserSession.objects.purge_and_list(person)
    shown = [
        SessionShown(
            row.pk, browser_of(row.user_agent), row.ip, row.created_at, row.session_key == key
        )
        for row in rows
    ]
    return sorted(shown, key=lambda one: one.began_at, reverse=True)


def end_session(pk: int, *, user: User) -> None:
    """End one of one's own; open pages notice with their next request. Raises Refused."""
    row = UserSession.objects.filter(pk=pk, user=user).first()
    if row is None:
        raise Refused("SESSION_GONE", "This session has ended already.", status=404)
    note("user.end_session", user, user=user, after={"address": row.ip})
    row.end()


def end_other_sessions(*, user: User, key: str | None) -> int:
    """End all of one's own but this one; how many."""
    others = [row for row in UserSession.objects.purge_and_list(user) if row.session_key != key]
    for row in others:
        row.end()
    if others:
        note("user.end_sessions", user, user=user, after={"count": len(others)})
    return len(others)


def browser_of(agent: str) -> str:
    """`Firefox on Linux`, as far as the header says."""
    browser = next((word for word in BROWSERS if word.lower() in agent.lower()), "")
    system = next((word for word in SYSTEMS if word in agent), "")
    names = [WORDS.get(word, word) for word in (browser, system) if word]
    return " on ".join(names) or re.sub(r"[/(].*", "", agent)[:40] or "unknown"
