"""What pages ask of hosts. Engines and jobs are counted by their related names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from accounts.models import User
from hosts.gpu.history import Row, rows_of
from hosts.models import Gpu, Host, RegistryLogin

ENGINES_SHOWN = 100
JOBS_SHOWN = 10
OPEN = ("queued", "running")


def hosts_shown() -> QuerySet[Host]:
    """Hosts with `engine_count`, `running_count` and `job_count` (jobs under way)."""
    return Host.objects.prefetch_related("gpus").annotate(
        engine_count=Count("engines", ~Q(engines__state="absent"), distinct=True),
        running_count=Count("engines", Q(engines__state="running"), distinct=True),
        job_count=Count("jobs", Q(jobs__status__in=OPEN), distinct=True),
    )


def operated_by(user: User, hosts: QuerySet[Host]) -> QuerySet[Host]:
    """Those of `hosts` that one who is limited to some may operate; all for everybody else."""
    if user.is_admin or not user.is_limited:
        return hosts
    return hosts.filter(pk__in=user.granted_hosts)


def host_shown(pk: int) -> Host | None:
    """One host as the list shows it; None if there is no such host."""
    return hosts_shown().filter(pk=pk).first()


def host_context(host: Host) -> dict[str, Any]:
    """What the live parts of a host's page show."""
    return {
        "host": host,
        "engines": host.engines.exclude(state="absent").defer("definition")[:ENGINES_SHOWN],
        "kept": host.engines.filter(state="absent").exclude(state_text="").defer("definition"),
        "charts": charts_of(host),
        "jobs": host.jobs.select_related("user", "engine").defer("engine__definition")[:JOBS_SHOWN],
    }


@dataclass(frozen=True, slots=True)
class CardChart:
    """A card with its last hour, as `static/charts.js` reads it."""

    gpu: Gpu
    rows: list[Row]

    @property
    def history(self) -> str:
        return json.dumps(self.rows, separators=(",", ":"))

    @property
    def figures(self) -> str:
        return json.dumps(self.rows[-1]) if self.rows else ""


def charts_of(host: Host) -> list[CardChart]:
    """Every card of a host with what it was used for."""
    return [CardChart(card, rows_of(host.pk, card.uuid)) for card in host.gpus.all()]


def logins_shown() -> list[RegistryLogin]:
    """Every stored login to a registry, for admins."""
    return list(RegistryLogin.objects.all())
