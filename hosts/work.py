"""Asking hosts: runners are opened here and in engines/work.py, nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from django.conf import settings
from django.utils import timezone

from hosts.gpus import note_has_gpu
from hosts.models import Host
from hosts.registry_logins import credentials_of
from hosts.remote_links import door_to, link_of
from hosts.remote_state import state_of_failure
from hosts.runners.base import EngineRunner, HostFacts, RunnerError
from hosts.runners.docker.detection import DockerState, detect
from hosts.runners.registry import Far, Setup, open_runner
from jobs.events import announce, hint

LOW_DISK_BYTES = 2_000_000_000
HIGH_MEMORY_SHARE = 0.95


def runner_of(host: Host) -> EngineRunner:
    """The runner that reaches `host`; use it in `with`."""
    setup = Setup(
        settings.DATA_DIR,
        host_name=machine_of(host),
        engine_host=settings.DOCKER_ENGINE_HOST,
        version=settings.VERSION,
        credentials=credentials_of,
    )
    if host.is_remote:
        far = Far(host.host_id, link_of(host), partial(door_to, host))
        setup = replace(setup, far=far)
    return open_runner(host.host_type, setup)


def machine_of(host: Host) -> str:
    """How sentences name it that begin with `Docker on`: as its own name may already."""
    return host.display_name.removeprefix("Docker on ")


@dataclass(frozen=True, slots=True)
class Examined:
    """What a look at a host found; `facts` and `advice` are ready for their columns."""

    state: Host.State
    text: str
    facts: dict[str, Any] | None = None
    advice: dict[str, Any] = field(default_factory=dict)


def probe(host: Host) -> Host:
    """Read the host's facts and write down its state; a failure is a state, not an error."""
    now = timezone.now()
    before = (host.state, host.state_text)
    found = EXAMINERS[host.host_type](host)
    host.state, host.state_text, host.advice = found.state, found.text, found.advice
    host.is_available = found.state in Host.USABLE
    host.last_checked_at = now
    if found.facts is not None:
        host.facts, host.seen_at = found.facts, now
    host.save(
        update_fields=[
            "is_available",
            "state",
            "state_text",
            "advice",
            "facts",
            "seen_at",
            "last_checked_at",
            "updated_at",
        ]
    )
    if found.facts is not None:
        note_has_gpu(host)
    text = f"{host}: {host.state_text or host.get_state_display()}"
    changed = before != (host.state, host.state_text)
    if changed:
        told = {"host": host.host_id, "state": host.state, "was": before[0]}
        told |= {"code": found.advice["code"]} if "code" in found.advice else {}
        announce("hosts", "host.changed", text=text, pk=host.pk, **told)
    else:
        hint("hosts", "host.changed", pk=host.pk)
    return host


def _examine_processes(host: Host) -> Examined:
    try:
        with runner_of(host) as runner:
            facts = runner.probe()
    except RunnerError as error:
        return Examined(Host.State.UNREACHABLE, error.message)
    state, text = _judge(facts)
    return Examined(state, text, facts=asdict(facts))


DOCKER_STATES = {
    DockerState.DISABLED: Host.State.DISABLED,
    DockerState.NOT_INSTALLED: Host.State.CLIENT_MISSING,
    DockerState.UNREACHABLE: Host.State.UNREACHABLE,
    DockerState.PERMISSION_DENIED: Host.State.PERMISSION_DENIED,
    DockerState.API_TOO_OLD: Host.State.TOO_OLD,
    DockerState.STARTING: Host.State.STARTING,
    DockerState.AVAILABLE: Host.State.AVAILABLE,
    DockerState.NO_GPU_RUNTIME: Host.State.AVAILABLE_NO_GPU,
    DockerState.DEGRADED: Host.State.DEGRADED,
    DockerState.ERROR: Host.State.ERROR,
}


def _examine_docker(host: Host) -> Examined:
    found = detect(is_enabled=host.is_enabled)
    advice = {
        "steps": [asdict(step) for step in found.way_out],
        "links": [asdict(link) for link in found.links],
        "note": found.note,
        "skip": found.skip,
        "detail": found.detail,
    }
    return Examined(
        DOCKER_STATES[found.state],
        found.sentence,
        facts=asdict(found.facts) if found.facts else None,
        advice={key: value for key, value in advice.items() if value},
    )


def _examine_remote(host: Host) -> Examined:
    try:
        with runner_of(host) as runner:
            facts = runner.probe()
    except RunnerError as error:
        # The code is what notifications know a changed host key by.
        told = {"code": error.code, "detail": error.detail}
        advice = {key: value for key, value in told.items() if value}
        return Examined(state_of_failure(error), error.message, advice=advice)
    state, text = _judge(facts)
    return Examined(state, text, facts=asdict(facts))


EXAMINERS: dict[str, Callable[[Host], Examined]] = {
    Host.Type.SUBPROCESS: _examine_processes,
    Host.Type.DOCKER_LOCAL: _examine_docker,
    Host.Type.DOCKER_REMOTE: _examine_remote,
}


def probe_asked(host_pk: int) -> None:
    """Probe a host because a person asked; quiet if it is gone or was switched off meanwhile."""
    host = Host.objects.filter(pk=host_pk, is_enabled=True).first()
    if host is not None:
        if host.is_remote:
            with contextlib.suppress(RunnerError):  # the probe says why
                link_of(host).try_now()
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
