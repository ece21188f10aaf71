"""What detection finds, and what it goes by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from hosts.runners.docker import guidance
from hosts.runners.docker.connection import DockerAddress
from hosts.runners.docker.facts import DockerFacts
from hosts.runners.docker.guidance import Guidance, Link, Step
from hosts.runners.docker.system import System, read_system

ANSWER_SECONDS = 5.0


class DockerState(StrEnum):
    """What Docker is on this machine; `detection` says how they are told apart."""

    DISABLED = "disabled"
    NOT_INSTALLED = "not_installed"
    UNREACHABLE = "unreachable"
    PERMISSION_DENIED = "permission_denied"
    API_TOO_OLD = "api_too_old"
    STARTING = "starting"
    AVAILABLE = "available"
    NO_GPU_RUNTIME = "no_gpu_runtime"
    DEGRADED = "degraded"
    ERROR = "error"

    @property
    def is_usable(self) -> bool:
        """Whether engines can run there."""
        return self in {self.AVAILABLE, self.NO_GPU_RUNTIME, self.DEGRADED}


@dataclass(frozen=True, slots=True)
class Limits:
    """Below these a host is degraded. Bytes, but for the share of memory that is free."""

    disk_free: int = 5_000_000_000
    memory_total: int = 2_000_000_000
    memory_free: float = 0.10


@dataclass(frozen=True, slots=True)
class Finding:
    """The state, a sentence for the user, and the way out of it."""

    state: DockerState
    sentence: str
    way_out: tuple[Step, ...] = ()
    links: tuple[Link, ...] = ()
    note: str = ""
    """What to know before: a licence, a risk."""
    skip: str = ""
    """What abm does without Docker; empty where nothing is to be skipped."""
    address: DockerAddress | None = None
    facts: DockerFacts | None = None
    problems: tuple[str, ...] = ()
    """All that is short, each with its numbers."""
    detail: str = ""
    """The raw text of a failure."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What detection goes by: the system, its environment, and how long it waits."""

    system: System = field(default_factory=read_system)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    home: Path = field(default_factory=Path.home)
    limits: Limits = Limits()
    seconds: float = ANSWER_SECONDS
    """How long one address may take for each answer."""


def found(
    state: DockerState,
    sentence: str,
    way: Guidance,
    *,
    address: DockerAddress | None = None,
    facts: DockerFacts | None = None,
    problems: tuple[str, ...] = (),
    detail: str = "",
) -> Finding:
    """A finding with its way out."""
    return Finding(
        state=state,
        sentence=sentence,
        way_out=way.steps,
        links=way.links,
        note=way.note,
        skip="" if state.is_usable else guidance.SKIP,
        address=address,
        facts=facts,
        problems=problems,
        detail=detail,
    )
