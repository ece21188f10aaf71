"""One container's figures at one moment, read from the daemon's answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hosts.link.docker_seen import time_of

READ, WRITTEN = "read", "write"
NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Sample:
    """One container at one moment (UTC, the host's clock). None is unknown.

    One with no figure at all stands for a gap: the container did not run, or could not be asked.
    Rates are bytes per second since the sample before, None for the first after a gap.
    """

    at: datetime
    cpu_percent: float | None = None
    """Of one core: 200 is two cores busy."""
    memory_bytes: int | None = None
    """Without the page cache that the kernel can take back, as `docker stats` shows it."""
    memory_limit: int | None = None
    received_rate: float | None = None
    sent_rate: float | None = None
    """Over all its networks; None for a container in the host's own."""
    disk_read_rate: float | None = None
    disk_written_rate: float | None = None
    processes: int | None = None

    @property
    def is_gap(self) -> bool:
        return self.memory_bytes is None and self.processes is None and self.cpu_percent is None


@dataclass(frozen=True, slots=True)
class Counters:
    """What only grows while a container runs: nanoseconds of CPU, bytes."""

    at: float
    """Epoch seconds of the host."""
    cpu: int | None
    received: int | None
    sent: int | None
    disk_read: int | None
    disk_written: int | None


def counters_of(answer: Mapping[str, Any]) -> Counters | None:
    """From the answer of `/containers/{id}/stats`; None for a container that does not run."""
    at = time_of(answer.get("read"))
    usage = (answer.get("cpu_stats") or {}).get("cpu_usage") or {}
    if at is None or (not answer.get("memory_stats") and not usage.get("total_usage")):
        return None
    networks = answer.get("networks")
    disk = (answer.get("blkio_stats") or {}).get("io_service_bytes_recursive")
    return Counters(
        at=at.timestamp(),
        cpu=usage.get("total_usage"),
        received=_sum(networks, "rx_bytes"),
        sent=_sum(networks, "tx_bytes"),
        disk_read=_disk(disk, READ),
        disk_written=_disk(disk, WRITTEN),
    )


def sample_of(answer: Mapping[str, Any], now: Counters, *, before: Counters | None) -> Sample:
    """What to show of an answer: amounts as they are, rates since `before`."""
    memory = answer.get("memory_stats") or {}
    rates = rates_between(before, now) if before else {}
    busy = rates.get("cpu")
    return Sample(
        at=datetime.fromtimestamp(now.at, UTC),
        cpu_percent=None if busy is None else busy / NANOSECONDS * 100,
        memory_bytes=memory_in_use(memory),
        memory_limit=memory.get("limit"),
        received_rate=rates.get("received"),
        sent_rate=rates.get("sent"),
        disk_read_rate=rates.get("disk_read"),
        disk_written_rate=rates.get("disk_written"),
        processes=(answer.get("pids_stats") or {}).get("current"),
    )


def rates_between(before: Counters, now: Counters) -> dict[str, float]:
    """By second, of the counters that are known both times."""
    seconds, rates = now.at - before.at, {}
    for name in ("cpu", "received", "sent", "disk_read", "disk_written"):
        old, new = getattr(before, name), getattr(now, name)
        # One that went back began anew: the container was started again.
        if seconds > 0 and old is not None and new is not None and new >= old:
            rates[name] = (new - old) / seconds
    return rates


def memory_in_use(memory: Mapping[str, Any]) -> int | None:
    """Usage less the inactive file cache, as the docker command shows it.

    Its `calculateMemUsageUnixNoCache`: `total_inactive_file` is of cgroup 1, `inactive_file` of 2.
    """
    usage, parts = memory.get("usage"), memory.get("stats") or {}
    if usage is None:
        return None
    cache = parts.get("total_inactive_file", parts.get("inactive_file", 0))
    return int(usage) - int(cache) if cache < usage else int(usage)


def _sum(networks: Mapping[str, Mapping[str, int]] | None, name: str) -> int | None:
    return sum(one.get(name, 0) for one in networks.values()) if networks else None


def _disk(rows: Iterable[Mapping[str, Any]] | None, kind: str) -> int | None:
    """Of `[{"op": "Read", "value": 4096}, ...]`; None where the kernel does not count."""
    if rows is None:
        return None
    return sum(int(row["value"]) for row in rows if str(row.get("op", "")).lower() == kind)
