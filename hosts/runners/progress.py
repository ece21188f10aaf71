"""What a runner tells while it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerProgress:
    """One layer of an image: `state` is a word such as `downloading`; compressed bytes."""

    id: str
    state: str
    done: int
    """Bytes downloaded, or bytes unpacked while it is `extracting`."""
    total: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that an install has to tell; every field but `step` may be empty."""

    step: str
    """Key of the step under way: one of the runner's INSTALL_STEPS."""
    line: str = ""
    """One line for the log."""
    fraction: float | None = None
    """How much of this step is done, 0 to 1, where that is known."""
    bytes_done: int | None = None
    bytes_total: int | None = None
    child_pid: int | None = None
    """A process that must be ended if abm dies now."""
    child_created: float | None = None
    bytes_cached: int = 0
    """Bytes that need not be downloaded, as the host has them already; not in `bytes_total`."""
    bytes_unpacked: int = 0
    """Of the same bytes, those put in place: the second phase of a pull."""
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    """None where nobody could say honestly."""
    stalled_for: float = 0.0
    """Seconds since anything moved."""
    layers: tuple[LayerProgress, ...] = ()
