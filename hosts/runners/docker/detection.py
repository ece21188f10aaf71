"""In which of ten states Docker is on this machine, decided by asking it.

    not installed   no daemon to be found
    unreachable     installed or named, but nothing answers
    permission denied, API too old, starting, error
    available       it answers
    no GPU runtime  it answers; there is a card that containers cannot have
    degraded        it answers; disk or memory is short
    disabled        switched off in abm; nothing is asked

Of several addresses the first that answers is taken, else the failure nearest to success is told.
"""

from __future__ import annotations

from dataclasses import replace

import docker
import humanize

from hosts.runners.base import HostNotReady
from hosts.runners.docker import guidance
from hosts.runners.docker.connection import (
    ApiTooOld,
    DockerAddress,
    NotDocker,
    Source,
    candidates,
    connect,
)
from hosts.runners.docker.errors import FOREIGN, UNREADABLE
from hosts.runners.docker.facts import DockerFacts, read_facts
from hosts.runners.docker.failures import failed
from hosts.runners.docker.finding import DockerState, Finding, Limits, Surroundings, found
from hosts.runners.docker.guidance import Guidance
from hosts.runners.docker.system import has_client, has_daemon_installed, is_service_starting

__all__ = ["DockerState", "Finding", "Limits", "Surroundings", "detect"]

NEAREST = (
    DockerState.STARTING,
    DockerState.PERMISSION_DENIED,
    DockerState.API_TOO_OLD,
    DockerState.ERROR,
    DockerState.UNREACHABLE,
)
"""Failures, the one nearest to success first."""


def detect(by: Surroundings | None = None, *, is_enabled: bool = True) -> Finding:
    """Find Docker on this machine. Never raises for what the world may be like."""
    by = by or Surroundings()
    if not is_enabled:
        words = "Docker on this machine is switched off in abm."
        return found(DockerState.DISABLED, words, guidance.to_enable())
    platform = {"macos": "darwin", "windows": "win32"}.get(by.system.family, "linux")
    try:
        places = candidates(by.environ, home=by.home, platform=platform, root=by.system.root)
    except HostNotReady as error:
        return found(DockerState.ERROR, error.message, guidance.to_start(by.system, None))
    failures = []
    for address in places:
        if address.is_there:
            finding = _ask(address, by)
            if finding.state.is_usable:
                return finding
            failures.append(finding)
    if failures:
        return min(failures, key=lambda finding: NEAREST.index(finding.state))
    return _absent(places[0], by)


def _ask(address: DockerAddress, by: Surroundings) -> Finding:
    """Connect, ask for version and facts, and judge the answer."""
    client: docker.APIClient | None = None
    try:
        client = connect(address, timeout=by.seconds)
        facts = read_facts(client, address, by.system)
    except ApiTooOld as error:
        return found(
            DockerState.API_TOO_OLD, error.message, guidance.to_update(by.system), address=address
        )
    except NotDocker as error:
        way = guidance.to_look(by.system)
        return found(DockerState.ERROR, error.message, way, address=address)
    except (*FOREIGN, *UNREADABLE) as error:
        return failed(error, address, by)
    finally:
        if client is not None:
            client.close()
    return _judged(facts, address, by)


def _judged(facts: DockerFacts, address: DockerAddress, by: Surroundings) -> Finding:
    """Available, or what is missing for it."""
    name = f"{facts.product} {facts.versions.get(facts.product, '')}".strip()
    short_of_disk, short_of_memory = _disk_problem(facts, by), _memory_problem(facts, by)
    lacks_runtime = bool(facts.cards) and not facts.has_gpu_runtime
    problems = [problem for problem in (short_of_disk, short_of_memory) if problem]
    if problems:
        state = DockerState.DEGRADED
        words = f"{name} runs, but it is short: {' '.join(problems)}"
        way = guidance.to_relieve(
            by.system, of_disk=bool(short_of_disk), of_memory=bool(short_of_memory)
        )
    elif lacks_runtime:
        state = DockerState.NO_GPU_RUNTIME
        words = f"{name} runs, but its containers cannot use the GPU here ({_cards(facts)})."
        has_driver = all(card.has_driver for card in facts.cards or ())
        way = guidance.to_give_gpu(by.system, has_driver=has_driver, is_rootless=facts.is_rootless)
    else:
        state, way = DockerState.AVAILABLE, Guidance()
        words = f"{name} runs and can be used ({facts.system}/{facts.machine})."
    if problems and lacks_runtime:
        problems.append(f"Containers cannot use the GPU ({_cards(facts)}).")
    return found(state, words, way, address=address, facts=facts, problems=tuple(problems))


def _cards(facts: DockerFacts) -> str:
    return ", ".join(card.name for card in facts.cards or ())


def _disk_problem(facts: DockerFacts, by: Surroundings) -> str:
    if facts.disk_free is None or facts.disk_free >= by.limits.disk_free:
        return ""
    free, total = humanize.naturalsize(facts.disk_free), humanize.naturalsize(facts.disk_total or 0)
    return f"{free} of {total} are free on the disk of {facts.data_root}."


def _memory_problem(facts: DockerFacts, by: Surroundings) -> str:
    total = facts.memory_total
    if total is None:
        return ""
    size = humanize.naturalsize(total)
    if total < by.limits.memory_total:
        return f"It has {size} of memory, and most engines need more."
    free = total - facts.memory_used if facts.memory_used is not None else total
    if free < total * by.limits.memory_free:
        return f"{humanize.naturalsize(max(free, 0))} of {size} memory are free."
    return ""


def _absent(address: DockerAddress, by: Surroundings) -> Finding:
    """No socket anywhere: on its way, stopped, or not installed."""
    if address.source is Source.VARIABLE:
        words = f"DOCKER_HOST names {address.url}, and nothing is there."
        way = guidance.to_start(by.system, address)
        return found(DockerState.UNREACHABLE, words, way, address=address)
    if has_daemon_installed(by.system):
        if is_service_starting(by.system):
            words = "Docker is starting. It has no socket yet."
            return found(DockerState.STARTING, words, guidance.to_wait())
        words = "Docker is installed, but it is not running."
        # A daemon installed beside abm is started beside it, in a container or not.
        way = guidance.to_start(replace(by.system, is_container=False), None)
        return found(DockerState.UNREACHABLE, words, way)
    words = "Docker is not installed on this machine."
    if by.system.is_container:
        words = "abm runs in a container that has no Docker socket."
    elif has_client(by.system):
        words = "Only the docker command is installed on this machine, no daemon."
    return found(DockerState.NOT_INSTALLED, words, guidance.to_install(by.system))
