"""One rounding rule for sizes, spans and shares, in every template."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone

from catalog.words import language_name, readable_key
from hosts.gpu.words import gib

register = template.Library()


@register.filter
def size(count: Any) -> str:
    """Bytes as people read them, decimal: 1.2 GB, 340 MB, 12 kB."""
    if not isinstance(count, int | float):
        return "unknown"
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if abs(value) < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


register.filter("gib", gib)


@register.filter
def span(length: Any) -> str:
    """A timedelta or seconds as 0.4 s, 12 s, 3 min 5 s, 2 h 4 min."""
    if isinstance(length, timedelta):
        length = length.total_seconds()
    if not isinstance(length, int | float):
        return ""
    if length < 10:
        return f"{length:.1f} s"
    seconds = round(length)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


@register.filter
def percent(share: Any) -> str:
    """0 to 100 as a whole number with its sign."""
    return f"{share:.0f} %" if isinstance(share, int | float) else ""


@register.filter
def share_of(part: Any, whole: Any) -> float | None:
    """`part` of `whole` as 0 to 100; None where one is unknown."""
    if not isinstance(part, int | float) or not isinstance(whole, int | float) or not whole:
        return None
    return max(0.0, min(100.0, 100 * part / whole))


@register.filter
def languages(codes: Any) -> str:
    """Language codes as names, the first three and how many more."""
    names = [language_name(str(code)) for code in codes or []]
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more"


@register.filter
def words(key: str) -> str:
    """A key as words."""
    return readable_key(str(key))


@register.filter
def parsed(text: Any) -> datetime | None:
    """An ISO time of a JSON column as a datetime."""
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


@register.filter(expects_localtime=True)
def iso(moment: Any) -> str:
    """A time for scripts, as `date:"c"` writes it; several times as quick, and pages have many."""
    return moment.isoformat() if isinstance(moment, datetime) else ""


@register.filter(expects_localtime=True)
def clock(moment: Any, form: str) -> str:
    """A time for people, in the words of strftime."""
    return moment.strftime(form) if isinstance(moment, datetime) else ""


@register.filter
def since(moment: Any, start: Any) -> str:
    """The span from `start` to `moment`, or to now where it has not come yet."""
    begin, end = parsed(start), parsed(moment) or timezone.now()
    return span(end - begin) if begin else ""
