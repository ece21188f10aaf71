"""What the audit's page and its exports ask of the table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Self
from urllib.parse import urlencode

from django.db.models import Q
from django.utils import timezone

from accounts.audit_models import AuditEntries, AuditEntry

PAGE = 50
MOST_EXPORTED = 100_000
COLUMNS = (
    "at",
    "user",
    "via",
    "address",
    "verb",
    "object_type",
    "object_pk",
    "object_name",
    "before",
    "after",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the audit is narrowed to; it stands in the page's address."""

    user: str = ""
    kind: str = ""
    """The word before the dot of a verb: `engine`, `user`, ..."""
    text: str = ""
    since: date | None = None
    until: date | None = None
    before: int | None = None
    """Only entries older than this one: the next page."""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """From an address; what makes no sense is left out."""
        before = query.get("before", "")
        return cls(
            user=query.get("user", "").replace("\x00", "")[:150],
            kind=query.get("kind", "").replace("\x00", "")[:32],
            text=query.get("q", "").replace("\x00", "").strip()[:100],
            since=_day(query.get("since", "")),
            until=_day(query.get("until", "")),
            before=int(before)
            if before.isascii() and before.isdecimal() and len(before) < 19
            else None,
        )

    @property
    def is_set(self) -> bool:
        return bool(self.user or self.kind or self.text or self.since or self.until)

    @property
    def query(self) -> str:
        """As a part of an address, without the page."""
        values = {
            "user": self.user,
            "kind": self.kind,
            "q": self.text,
            "since": self.since,
            "until": self.until,
        }
        return urlencode({key: value for key, value in values.items() if value})

    def entries(self) -> AuditEntries:
        """The rows that fit, newest first. Days are those of TIME_ZONE."""
        wanted = Q()
        if self.user:
            wanted &= Q(username="" if self.user == "abm" else self.user)
        if self.kind:
            wanted &= Q(object_type=self.kind)
        if self.text:
            words = ("verb", "object_name", "address")
            found = Q()
            for word in words:
                found |= Q(**{f"{word}__icontains": self.text})
            wanted &= found
        if self.since:
            wanted &= Q(at__gte=_start(self.since))
        if self.until:
            wanted &= Q(at__lt=_start(self.until) + timedelta(days=1))
        if self.before is not None:
            wanted &= Q(pk__lt=self.before)
        return AuditEntry.objects.filter(wanted)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some entries, and which one the next page begins below."""

    rows: list[AuditEntry]
    next_before: int | None


def audit_page(wanted: AuditFilter, *, size: int = PAGE) -> AuditPage:
    """One page; the table may be long, so its rows are never counted."""
    rows = list(wanted.entries()[: size + 1])
    more = len(rows) > size
    return AuditPage(rows[:size], rows[size - 1].pk if more else None)


def kinds() -> list[str]:
    return list(
        AuditEntry.objects.order_by("object_type").values_list("object_type", flat=True).distinct()
    )


def people() -> list[str]:
    names = AuditEntry.objects.order_by("username").values_list("username", flat=True).distinct()
    return [name or "abm" for name in names]


def as_row(entry: AuditEntry) -> dict[str, Any]:
    """An entry by the names of COLUMNS, as it is exported."""
    return {
        "at": entry.at.isoformat().replace("+00:00", "Z"),
        "user": entry.username or "abm",
        "via": entry.via,
        "address": entry.address,
        "verb": entry.verb,
        "object_type": entry.object_type,
        "object_pk": entry.object_pk,
        "object_name": entry.object_name,
        "before": entry.before,
        "after": entry.after,
    }


def exported(wanted: AuditFilter) -> Iterator[AuditEntry]:
    """What an export holds, newest first, at most MOST_EXPORTED rows."""
    return wanted.entries()[:MOST_EXPORTED].iterator(chunk_size=2_000)


def as_json(entries: Iterable[AuditEntry]) -> str:
    return json.dumps([as_row(entry) for entry in entries], ensure_ascii=False, indent=1)


def as_csv(entries: Iterable[AuditEntry]) -> str:
    """With a head; cells that a spreadsheet would take for a formula get an apostrophe."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    for entry in entries:
        row = as_row(entry)
        for name in ("before", "after"):
            row[name] = json.dumps(row[name], ensure_ascii=False) if row[name] else ""
        writer.writerow({name: _cell(str(value)) for name, value in row.items()})
    return file.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _start(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
