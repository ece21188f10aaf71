"""The system page: how each part of this abm is, what waits, and whether a proxy is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, Q
from django.utils import timezone

from abm.backup.schedule import backups
from abm.readiness import OK, readiness
from abm.system import Line, system_lines
from abm.templatetags.show import size, span
from jobs.models import Event, Job
from jobs.presence import present

STREAM_PIECES, STREAM_PAUSE = 4, 0.3
"""The page tells from the pauses between the pieces whether something keeps them back."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to write into a proxy's configuration, by the name of the proxy."""

    proxy: str
    line: str


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that a proxy can spoil; the page tries it in the browser (static/system.js)."""

    key: str
    title: str
    help: str
    remedies: tuple[Remedy, ...]


PROBES = (
    Probe(
        "scheme",
        "Scheme",
        "The proxy has to tell abm that people come by https, and PUBLIC_URL has to say so.",
        (
            Remedy("nginx", "proxy_set_header X-Forwarded-Proto $scheme;"),
            Remedy("Apache", 'RequestHeader set X-Forwarded-Proto "https"'),
            Remedy("abm", "PUBLIC_URL=https://abm.example.com"),
        ),
    ),
    Probe(
        "host",
        "Host",
        "The proxy has to hand on the name that people ask for.",
        (
            Remedy("nginx", "proxy_set_header Host $http_host;"),
            Remedy("Apache", "ProxyPreserveHost On"),
        ),
    ),
    Probe(
        "address",
        "Client address",
        "If this is the address of your proxy and not yours, abm counts everybody behind it as "
        "one when it slows down who guesses passwords. The proxy has to tell the real one, and "
        "TRUSTED_PROXIES has to name the proxy's address, or abm does not believe it.",
        (
            Remedy("nginx", "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"),
            Remedy("abm", "TRUSTED_PROXIES=127.0.0.1,::1,<the address that abm sees>"),
        ),
    ),
    Probe(
        "socket",
        "WebSocket",
        "Without it pages ask again every few seconds instead of changing at once.",
        (
            Remedy("nginx", "proxy_http_version 1.1;"),
            Remedy("nginx", "proxy_set_header Upgrade $http_upgrade;"),
            Remedy("nginx", 'proxy_set_header Connection "upgrade";'),
            Remedy("Apache", 'ProxyPass "/" "http://127.0.0.1:8765/" upgrade=websocket'),
        ),
    ),
    Probe(
        "stream",
        "Unbuffered answers",
        "Something keeps answers back until they are whole, so logs and events come late.",
        (
            Remedy("nginx", "proxy_buffering off;"),
            Remedy("Apache", "ProxyPass ... flushpackets=on"),
        ),
    ),
)


def system_parts() -> dict[str, Any]:
    """What the page shows; a handful of queries."""
    checks = readiness()
    if settings.IS_EMBEDDED:
        del checks["redis"]  # there is none
    return {
        "checks": [
            {"name": name, "said": said, "state": "available" if said == OK else "failed"}
            for name, said in checks.items()
        ],
        "processes": list(present()),
        "lines": system_lines(),
        "work": work_lines(),
        "probes": PROBES,
        "is_embedded": settings.IS_EMBEDDED,
    }


def work_lines() -> list[Line]:
    """What waits, how long, and how old the newest event and backup are."""
    now = timezone.now()
    counts = Job.objects.filter(status__in=Job.OPEN).aggregate(
        waiting=Count("pk", filter=Q(status=Job.Status.QUEUED)),
        running=Count("pk", filter=Q(status=Job.Status.RUNNING)),
        oldest=Min("created_at", filter=Q(status=Job.Status.QUEUED)),
    )
    newest = Event.objects.values_list("created_at", flat=True).first()
    made = next(iter(backups()), None)
    return [
        Line("Jobs that run", str(counts["running"])),
        Line("Jobs that wait", str(counts["waiting"])),
        Line("Longest wait", span(now - counts["oldest"]) if counts["oldest"] else "none waits"),
        Line("Last change", f"{span(now - newest)} ago" if newest else "none within a day"),
        Line("Database's clock", _clock_text()),
        Line("Last backup by the clock", _backup_text(made)),
    ]


def _clock_text() -> str:
    """Leases and presence go by the database's clock, the rest by this machine's."""
    if connection.vendor != "postgresql":
        return "this machine's"
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        ahead = (cursor.fetchone()[0] - timezone.now()).total_seconds()
    return f"{abs(ahead):.1f} s {'ahead of' if ahead >= 0 else 'behind'} this machine's"


def _backup_text(made: Any) -> str:
    if settings.BACKUP_DIR is None:
        return "none; BACKUP_DIR switches them on"
    return f"{made.name}, {size(made.stat().st_size)}" if made else "none yet"


async def pieces() -> AsyncIterator[bytes]:
    """Server-sent events with pauses between them."""
    for number in range(STREAM_PIECES):
        if number:
            await asyncio.sleep(STREAM_PAUSE)
        yield f"data: {number}\n\n".encode()
