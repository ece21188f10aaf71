"""What pages ask of hosts."""

from __future__ import annotations

from django.db.models import Count, Q, QuerySet

from hosts.models import Host

INSTALLED = ("starting", "loading", "running", "stopped", "stopping", "failed")


def hosts_shown() -> QuerySet[Host]:
    """Hosts with how many engines they hold and run, and how many jobs are under way."""
    return Host.objects.annotate(
        engine_count=Count("engines", filter=Q(engines__state__in=INSTALLED), distinct=True),
        running_count=Count("engines", filter=Q(engines__state="running"), distinct=True),
        job_count=Count("jobs", filter=Q(jobs__status__in=["queued", "running"]), distinct=True),
    )
