"""The audit over the API, for admins."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import Field

from accounts.audit_list import AuditFilter, audit_page
from accounts.audit_models import AuditEntry
from accounts.models import User
from accounts.rest import Shape, Text, bytes_of, endpoint

router = Router(tags=["people"], by_alias=True)


class AuditWanted(Shape):
    """What the list is narrowed to; days are those of abm's time zone."""

    user: Text = ""
    kind: Text = Field("", description="The word before the dot of a verb, such as `engine`.")
    q: Text = Field("", description="Part of a verb, a name or an address.")
    since: date | None = None
    until: date | None = None
    before: int | None = Field(None, ge=1, le=2**53, description="`nextBefore` of the page before.")
    limit: int = Field(50, ge=1, le=500)


class AuditRow(Shape):
    """Who did what to which object; `before` and `after` hold what changed, never a secret."""

    entry_id: int
    at: datetime
    user: str
    via: str
    address: str
    verb: str
    object_type: str
    object_pk: str
    object_name: str
    before: dict[str, Any]
    after: dict[str, Any]


class AuditAnswer(Shape):
    """A page of the audit, newest first; `nextBefore` null is the end."""

    success: bool = True
    entries: list[AuditRow]
    next_before: int | None


@endpoint(
    router,
    "GET",
    "/audit",
    response=AuditAnswer,
    role=User.Role.ADMIN,
    summary="Who did what, and when",
)
def audit(request: HttpRequest, wanted: Query[AuditWanted]) -> HttpResponse:
    page = audit_page(
        AuditFilter(
            user=wanted.user,
            kind=wanted.kind,
            text=wanted.q.strip(),
            since=wanted.since,
            until=wanted.until,
            before=wanted.before,
        ),
        size=wanted.limit,
    )
    rows = [_row(entry) for entry in page.rows]
    return bytes_of(AuditAnswer(entries=rows, next_before=page.next_before))


def _row(entry: AuditEntry) -> AuditRow:
    return AuditRow(
        entry_id=entry.pk,
        at=entry.at,
        user=entry.username or "abm",
        via=entry.via,
        address=entry.address,
        verb=entry.verb,
        object_type=entry.object_type,
        object_pk=entry.object_pk,
        object_name=entry.object_name,
        before=entry.before,
        after=entry.after,
    )
