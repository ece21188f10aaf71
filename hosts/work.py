"""Asking hosts: runners are opened here and in engines/work.py, nowhere else."""

from __future__ import annotations

from dataclasses import asdict

from django.conf import settings
from django.utils import timezone

from hosts.models import Host
from hosts.runners.base import EngineRunner, HostFacts, RunnerError
from hosts.runners.registry import open_runner
from jobs.events import announce, hint

LOW_DISK_BYTES = 2_000_000_000
HIGH_MEMORY_SHARE = 0.95


def runner_of(host: Host) -> EngineRunner:
    """The runner that reaches `host`; use it in `with`."""
    return open_runner(host.host_type, data_dir=settings.DATA_DIR)


def probe(host: Host) -> Host:
    """Read the host's facts and write down its state; a failure is a state, not an error."""
    now = timezone.now()
    before = (host.state, host.state_text)
    try:
        with runner_of(host) as runner:
            facts = runner.probe()
    except RunnerError as error:
        host.is_available = False
        host.state, host.state_text = Host.State.UNREACHABLE, error.message
    else:
        host.is_available = True
        host.facts = asdict(facts)
        host.state, host.state_text = _judge(facts)
        host.seen_at = now
    host.last_checked_at = now
    host.save(
        update_fields=[
            "is_available",
            "state",
            "state_text",
            "facts",
            "seen_at",
            "last_checked_at",
            "updated_at",
        ]
    )
    text = f"{host}: {host.state_text or host.get_state_display()}"
    changed = before != (host.state, host.state_text)
    if changed:
        announce("hosts", "host.changed", text=text, pk=host.pk)
    else:
        hint("hosts", "host.changed", pk=host.pk)
    return host


def probe_asked(host_pk: int) -> None:
    """Probe a host because a person asked; quiet if it is gone or was switched off meanwhile."""
    host = Host.objects.filter(pk=host_pk, is_enabled=True).first()
    if host is not None:
        probe(host)


def _judge(facts: HostFacts) -> tuple[Host.State, str]:
    """Available or degraded, with the numbers that say why."""
    if facts.disk_free is not None and facts.disk_free < LOW_DISK_BYTES:
        left = facts.disk_free / 1e9
        return Host.State.DEGRADED, f"Only {left:.1f} GB of disk are free; installs may fail."
    if facts.memory_total and facts.memory_used:
        share = facts.memory_used / facts.memory_total
        if share > HIGH_MEMORY_SHARE:
            return Host.State.DEGRADED, f"{share:.0%} of the memory is in use."
    return Host.State.AVAILABLE, ""
