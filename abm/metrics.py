"""What Prometheus is told: jobs, hosts, engines, processes, requests. Read when it is asked for."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db.models import Avg, Count, F, Max, Min, Sum
from django.utils import timezone

from abm.traces import REQUESTS
from engines.models import Engine
from hosts.models import Gpu, Host
from jobs.consumers import LATENCY
from jobs.exposition import Family
from jobs.models import Event, Job
from jobs.presence import present

DAY = timedelta(days=1)
CARD_COLUMNS = [
    "host__host_id",
    "uuid",
    "name",
    "memory_used",
    "memory_total",
    "utilization",
    "temperature",
    "power",
]


def families() -> Iterator[Family]:
    """All figures, about ten queries in all; requests are those of this process."""
    info = Family("abm_info", "Always 1; the version is a label.")
    info.add(1, version=settings.VERSION)
    yield info
    yield from _jobs()
    yield from _engines()
    yield from _hosts()
    yield from _cards()
    yield from _processes()
    yield _disk()
    yield LATENCY.family(
        "abm_event_seconds", "From a change to the message of an open page of this web process."
    )
    yield REQUESTS.family("abm_request_seconds", "Pages and API calls of this web process.")


def _jobs() -> Iterator[Family]:
    now = timezone.now()
    open_jobs = Family("abm_jobs", "Jobs that wait or run.")
    rows = Job.objects.filter(status__in=Job.OPEN).order_by()
    counts = dict(rows.values_list("status").annotate(Count("pk")))
    for status in Job.OPEN:
        open_jobs.add(counts.get(status, 0), status=status)
    yield open_jobs

    waiting = Family("abm_job_longest_wait_seconds", "Age of the oldest job that waits.")
    oldest = rows.filter(status=Job.Status.QUEUED).aggregate(at=Min("created_at"))["at"]
    waiting.add((now - oldest).total_seconds() if oldest else 0.0)
    yield waiting

    pulled = Family("abm_transfer_bytes_per_second", "Bytes a second of all jobs that run.")
    pulled.add(rows.filter(status=Job.Status.RUNNING).aggregate(rate=Sum("rate"))["rate"] or 0.0)
    yield pulled

    ended = Family("abm_jobs_last_day", "Jobs that ended within 24 hours.")
    took = Family("abm_job_mean_seconds_last_day", "How long they took on average.")
    longest = Family("abm_job_longest_seconds_last_day", "How long the longest took.")
    took_of = F("finished_at") - F("started_at")
    done = Job.objects.filter(finished_at__gt=now - DAY).order_by()
    for action, status, count, mean, most in done.values_list("action", "status").annotate(
        Count("pk"), mean=Avg(took_of), most=Max(took_of)
    ):
        labels = {"action": action, "status": status}
        ended.add(count, **labels)
        took.add(mean.total_seconds() if mean else None, **labels)
        longest.add(most.total_seconds() if most else None, **labels)
    yield from (ended, took, longest)

    newest = Family("abm_event_id", "Number of the newest event; it rises with every change.")
    newest.add(Event.objects.aggregate(newest=Max("pk"))["newest"] or 0)
    yield newest


def _engines() -> Iterator[Family]:
    up = Family("abm_engine_up", "1 while an engine answers.")
    memory = Family("abm_engine_memory_bytes", "What it takes.")
    installed = Engine.objects.exclude(state=Engine.State.ABSENT).order_by("pk")
    rows = installed.values_list("name", "engine_type", "host__host_id", "state", "memory_bytes")
    for name, kind, host, state, used in rows:
        labels = {"engine": name, "type": kind, "host": host}
        up.add(state == Engine.State.RUNNING, **labels)
        if state in Engine.ALIVE:
            memory.add(used, **labels)
    yield from (up, memory)


def _hosts() -> Iterator[Family]:
    up = Family("abm_host_up", "1 while engines can run there; its state is a label.")
    for host in Host.objects.filter(is_enabled=True).order_by("pk"):
        up.add(host.is_available, host=host.host_id, state=host.state)
    yield up


def _cards() -> Iterator[Family]:
    """Graphics cards as they were read last; one that was not read lately is left out."""
    used = Family("abm_gpu_memory_used_bytes", "Memory of a card that is taken.")
    total = Family("abm_gpu_memory_bytes", "Memory of a card.")
    busy = Family("abm_gpu_utilization_percent", "How busy a card is, 0 to 100.")
    heat = Family("abm_gpu_temperature_celsius", "How hot a card is.")
    power = Family("abm_gpu_power_watts", "What a card draws.")
    read = Gpu.objects.filter(read_at__gt=timezone.now() - Gpu.STALE_AFTER)
    for card in read.select_related("host").only(*CARD_COLUMNS):
        labels = {"host": card.host.host_id, "card": card.uuid, "name": card.name}
        used.add(card.memory_used, **labels)
        total.add(card.memory_total, **labels)
        busy.add(card.utilization, **labels)
        heat.add(card.temperature, **labels)
        power.add(card.power, **labels)
    yield from (used, total, busy, heat, power)


def _processes() -> Iterator[Family]:
    up = Family("abm_processes", "Processes that said lately that they are up.")
    rows = present().order_by().values_list("role", "version", "is_standby").annotate(Count("pk"))
    for role, version, is_standby, count in rows:
        up.add(count, role=role, version=version, standby=str(is_standby).lower())
    yield up


def _disk() -> Family:
    told = Family("abm_data_free_bytes", "Free on the disk of the data directory.")
    with contextlib.suppress(OSError):
        told.add(shutil.disk_usage(settings.DATA_DIR).free)
    return told
