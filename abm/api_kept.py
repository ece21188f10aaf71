"""Lists that programs ask for all the time, sent without the way through all the middlewares.

Beside the list kept in memory it takes one look into the database, for the token, its person and
the newest event; so a revoked token, a changed role and a changed list count at once. Whoever is
to be refused, and whatever is not kept, goes the whole way: it alone knows the sentences.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from abm.api_answers import Kept, kept_at
from abm.api_door import key_of, refusal
from abm.api_rates import note_request
from accounts.models import ApiToken, User
from accounts.refused import Refused
from accounts.roles import lower
from accounts.tokens import USED_EVERY, hash_of
from jobs.models import Event

OWN = {"Content-Type", "Content-Encoding", "Content-Length", "ETag"}
"""Headers that belong to one answer, not to the list."""
LOOK = f"""
SELECT token.id, token.role, person.role, (SELECT MAX(id) FROM {Event._meta.db_table})
FROM {ApiToken._meta.db_table} token JOIN {User._meta.db_table} person ON person.id = token.user_id
WHERE token.sha256 = %s AND person.is_active AND token.last_used_at > %s
AND (token.expires_at IS NULL OR token.expires_at > %s)
"""
"""Its own SQL, for the ORM takes ten times as long to write it as the database to answer."""


class KeptListMiddleware:
    """Stands where the address and the name of the caller are known, and before all else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Pages of other origins get headers of their own.
        if request.method != "GET" or "Origin" in request.headers:
            return self.get_response(request)
        answer = _at_once(request) or self.get_response(request)
        kept = getattr(answer, "kept", None)
        if isinstance(kept, Kept) and kept.headers is None:
            kept.headers = {key: value for key, value in answer.items() if key not in OWN}
        return answer


def _at_once(request: HttpRequest) -> HttpResponseBase | None:
    by_role = kept_at(request)
    key = key_of(request) if by_role else None
    if not key or request.body:
        return None
    row = _looked_up(key)
    if row is None:
        return None
    token, role, most, known = row
    kept = by_role.get(lower(role, most))
    if kept is None or kept.headers is None or not kept.holds(known or 0):
        return None
    try:
        note_request(token, is_write=False)
    except Refused as refused:
        return refusal(refused)
    answer = kept.answer(request)
    for name, value in kept.headers.items():
        answer.headers[name] = value
    answer.headers["Content-Length"] = str(len(answer.content))
    return answer


def _looked_up(key: str) -> tuple[int, str, str, int | None] | None:
    """The token, its role, its person's role and the newest event; nothing if it is not let in."""
    now, fit = timezone.now(), connection.ops.adapt_datetimefield_value
    try:
        with connection.cursor() as cursor:
            # One whose use has to be noted again goes the whole way, too.
            cursor.execute(LOOK, [hash_of(key), fit(now - USED_EVERY), fit(now)])
            row: tuple[int, str, str, int | None] | None = cursor.fetchone()
    except DatabaseError:
        return None
    return row
