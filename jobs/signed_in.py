"""Who is at the other end of an open socket, asked again: a page may stay open for days."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY
from django.db import close_old_connections
from django.utils.crypto import constant_time_compare

from accounts.models import User
from accounts.roles import has_role

WATCH_SECONDS = 15.0


def person_now(pk: int, session: Any) -> User | None:
    """The person as they are now; None if they or their session may not go on.

    A session ends when its owner ends it, and with a new password. `session` is that of the scope,
    None where there is none.
    """
    user = User.objects.filter(pk=pk, is_active=True).first()
    if user is None or session is None:
        return user
    kept = session.get(HASH_SESSION_KEY, "")
    is_same = constant_time_compare(kept, user.get_session_auth_hash())
    return user if is_same and session.exists(session.session_key) else None


async def until_out(pk: int, session: Any, *, role: User.Role, pool: Executor) -> None:
    """Return when the person is signed out or no longer holds the role."""
    loop = asyncio.get_running_loop()
    is_in = True
    while is_in:
        await asyncio.sleep(WATCH_SECONDS)
        is_in = await loop.run_in_executor(pool, _may_stay, pk, session, role)


def _may_stay(pk: int, session: Any, role: User.Role) -> bool:
    close_old_connections()
    user = person_now(pk, session)
    return user is not None and has_role(user, role)
