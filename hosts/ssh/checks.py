"""What the wizard tries on a remote host before it is added, one result after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import humanize

from hosts.runners.base import RunnerError
from hosts.runners.docker.connection import ApiTooOld, DockerAddress, NotDocker, Source, connect
from hosts.runners.docker.errors import mapped
from hosts.runners.docker.facts import MACHINES
from hosts.runners.docker.finding import Limits as Least
from hosts.ssh.connection import Connection
from hosts.ssh.docker_adapter import ChannelPool, client_over
from hosts.ssh.errors import HostKeyUnknown, Phase
from hosts.ssh.facts import RemoteFacts
from hosts.ssh.key_line import ENGINE_PORTS
from hosts.ssh.known import HostKey
from hosts.ssh.login import log_in, offered_keys
from hosts.ssh.target import USUAL, Limits, Target

MADE_FOR = ("amd64", "arm64")
SECONDS = 10.0
LEAST = Least()


class Check(StrEnum):
    """In the order in which they are tried."""

    REACHABLE = "reachable"
    HOST_KEY = "host_key"
    AUTHENTICATION = "authentication"
    SOCKET = "socket"
    VERSION = "version"
    ARCHITECTURE = "architecture"
    PORTS = "ports"
    DISK = "disk"
    MEMORY = "memory"
    GPU = "gpu"

    @property
    def label(self) -> str:
        return LABELS[self]


LABELS = {
    Check.REACHABLE: "The host answers",
    Check.HOST_KEY: "Its host key is accepted",
    Check.AUTHENTICATION: "It lets abm in",
    Check.SOCKET: "abm may use Docker",
    Check.VERSION: "Docker's version",
    Check.ARCHITECTURE: "Architecture",
    Check.PORTS: "Engines can be reached",
    Check.DISK: "Disk",
    Check.MEMORY: "Memory",
    Check.GPU: "Graphics cards",
}


class Outcome(StrEnum):
    PASSED = "passed"
    WARNED = "warned"
    """It works, but something is to be known."""
    ASKED = "asked"
    """An admin has to decide."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not tried, because of what failed before."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check went: a sentence, which for all but `passed` has the way out in it."""

    check: Check
    outcome: Outcome
    sentence: str
    detail: str = ""
    """The raw text of a failure."""
    code: str = ""
    """Of the RunnerError that it failed with."""
    offered: tuple[HostKey, ...] = ()
    """Host keys to compare and accept."""
    fact: str = ""
    """For programs: Docker's version, or how many cards Docker can hand out."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the host when its cards are looked at."""

    connection: Connection
    facts: RemoteFacts | None
    info: Mapping[str, Any]
    """Docker's `/info`."""


CardsCheck = Callable[[Seen], CheckResult]


class _Through:
    """A connection as something that Docker clients are made from."""

    def __init__(self, connection: Connection) -> None:
        self._pool = ChannelPool(connection)

    def client(self, *, api: str, timeout: float) -> Any:
        return client_over(self._pool, api=api, timeout=timeout)


def check_host(
    target: Target, *, limits: Limits = USUAL, look_at_cards: CardsCheck | None = None
) -> Iterator[CheckResult]:
    """Each check's result as soon as it is known; never raises for what is wrong with the host."""
    done: list[Check] = []
    for result in _checks(target, limits, look_at_cards or cards_listed):
        done.append(result.check)
        yield result
    for check in Check:
        if check not in done:
            yield CheckResult(check, Outcome.SKIPPED, "Not tried yet.")


def _checks(target: Target, limits: Limits, look_at_cards: CardsCheck) -> Iterator[CheckResult]:
    passed: list[Phase] = []
    connection = None
    failure: RunnerError | None = None
    try:
        connection = log_in(target, limits, passed=passed.append)
    except RunnerError as error:
        failure = error
    for phase in passed:
        yield CheckResult(Check(phase.value), Outcome.PASSED, _PHASE_WORDS[phase])
    if connection is None:
        assert failure is not None
        yield _of_login(failure, Check(list(Phase)[len(passed)].value), target, limits)
        return
    with contextlib.closing(connection):
        yield from _docker_checks(connection, look_at_cards)


_PHASE_WORDS = {
    Phase.REACHABLE: "It answers, and it is an SSH server.",
    Phase.HOST_KEY: "It is the host that was accepted.",
    Phase.AUTHENTICATION: "abm's key is let in.",
}


def _of_login(failure: RunnerError, check: Check, target: Target, limits: Limits) -> CheckResult:
    if not isinstance(failure, HostKeyUnknown):
        return _failed(check, failure)
    try:
        offered = offered_keys(target.peer, limits)
    except RunnerError as error:
        return _failed(Check.HOST_KEY, error)
    words = (
        "Compare this fingerprint with what the host shows for: "
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub. Accept it only if they are the same."
    )
    return CheckResult(Check.HOST_KEY, Outcome.ASKED, words, offered=offered)


def _failed(check: Check, failure: RunnerError) -> CheckResult:
    return CheckResult(check, Outcome.FAILED, failure.message, failure.detail, failure.code)


def _docker_checks(connection: Connection, look_at_cards: CardsCheck) -> Iterator[CheckResult]:
    name = connection.peer.name
    opener = _Through(connection)
    address = DockerAddress(str(connection.target.address), Source.USUAL, name, opened_by=opener)
    try:
        with mapped(name), contextlib.closing(connect(address, timeout=SECONDS)) as client:
            version, info = client.version(api_version=False), client.info()
    except (ApiTooOld, NotDocker) as error:
        yield CheckResult(Check.SOCKET, Outcome.PASSED, "Its socket can be used.")
        yield _failed(Check.VERSION, error)
        return
    except RunnerError as error:
        yield _failed(Check.SOCKET, error)
        return
    facts = _facts(connection)
    yield _socket(connection, facts)
    yield CheckResult(
        Check.VERSION,
        Outcome.PASSED,
        f"{version.get('Version')}, API {version.get('ApiVersion')}.",
        fact=str(version.get("Version") or ""),
    )
    yield _architecture(str(info.get("Architecture") or ""))
    yield _ports(connection)
    yield _disk(facts, str(info.get("DockerRootDir") or ""))
    yield _memory(facts, int(info.get("MemTotal") or 0))
    try:
        yield look_at_cards(Seen(connection, facts, info))
    except RunnerError as error:
        yield CheckResult(Check.GPU, Outcome.WARNED, error.message, error.detail, error.code)


def _facts(connection: Connection) -> RemoteFacts | None:
    try:
        return connection.facts()
    except RunnerError:
        return None  # its sshd runs no commands for abm: what they tell stays unknown


def _socket(connection: Connection, facts: RemoteFacts | None) -> CheckResult:
    words = f"abm uses Docker's socket {connection.way.socket}. That makes it root on this host."
    if facts is not None:
        return CheckResult(Check.SOCKET, Outcome.PASSED, words)
    more = (
        "abm's key is let in, but not by the line that abm made, so it may do more than it needs "
        "and abm cannot read the disk and cards. Run the command that installs the key."
    )
    return CheckResult(Check.SOCKET, Outcome.WARNED, f"{words} {more}")


def _architecture(machine: str) -> CheckResult:
    name = MACHINES.get(machine, machine)
    if name in MADE_FOR:
        return CheckResult(Check.ARCHITECTURE, Outcome.PASSED, f"{name}.")
    words = f"{name or 'Unknown'}. Engines are made for amd64, some for arm64; few will run here."
    return CheckResult(Check.ARCHITECTURE, Outcome.WARNED, words)


def _ports(connection: Connection) -> CheckResult:
    port = ENGINE_PORTS[-1]
    try:
        connection.tcp(port, SECONDS).close()
    except ConnectionRefusedError:
        pass  # nothing listens there yet, but sshd let it through
    except RunnerError as error:
        return _failed(Check.PORTS, error)
    words = f"Ports {ENGINE_PORTS[0]} to {port} of its loopback, through this connection alone."
    return CheckResult(Check.PORTS, Outcome.PASSED, words)


def _disk(facts: RemoteFacts | None, root: str) -> CheckResult:
    if facts is None or facts.disk_free is None:
        return CheckResult(Check.DISK, Outcome.WARNED, "How much is free cannot be read.")
    free = humanize.naturalsize(facts.disk_free)
    words = f"{free} are free where Docker keeps its images ({root})."
    if facts.disk_free < LEAST.disk_free:
        return CheckResult(Check.DISK, Outcome.WARNED, f"Only {words} Engines take several GB.")
    return CheckResult(Check.DISK, Outcome.PASSED, words)


def _memory(facts: RemoteFacts | None, total: int) -> CheckResult:
    size = humanize.naturalsize(total)
    free = facts.memory_available if facts else None
    words = f"{humanize.naturalsize(free)} of {size} are free." if free else f"{size} in all."
    if total < LEAST.memory_total:
        return CheckResult(Check.MEMORY, Outcome.WARNED, f"{words} Few engines run in so little.")
    return CheckResult(Check.MEMORY, Outcome.PASSED, words)


def cards_listed(seen: Seen) -> CheckResult:
    """NVIDIA cards as `nvidia-smi -L` lists them. Never "no card" where that cannot be asked."""
    if seen.facts is None:
        return CheckResult(Check.GPU, Outcome.WARNED, "Cards cannot be read by this key.")
    said = seen.connection.run("parts", seconds=SECONDS)
    cards = [line.partition(" (UUID")[0] for line in said.out.splitlines() if line[:4] == "GPU "]
    if not cards:
        words = "No NVIDIA card is told of: engines run on the CPU."
        return CheckResult(Check.GPU, Outcome.PASSED, words, said.err or said.out)
    named = "; ".join(cards)
    if "nvidia" in (seen.info.get("Runtimes") or {}) or seen.info.get("CDISpecDirs"):
        return CheckResult(Check.GPU, Outcome.PASSED, f"{named}.", fact=str(len(cards)))
    words = (
        f"{named}. Docker cannot hand it to containers: install the NVIDIA Container Toolkit "
        "there, run sudo nvidia-ctk runtime configure --runtime=docker and restart Docker."
    )
    return CheckResult(Check.GPU, Outcome.WARNED, words)
