"""Following work on a host: what it tells becomes steps, lines and one bar of the job."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TypeVar

from hosts.runners.base import Progress
from jobs.transfer import Layer, Transfer
from jobs.work import JobRun

Result = TypeVar("Result")
Steps = Mapping[str, tuple[str, float]]
"""Step key -> (title, share of the whole), in order."""
PULLS = frozenset({"pull", "base"})
"""Steps whose numbers are those of a download; silence of others is no registry's fault."""


def follow(
    run: JobRun,
    steps: Steps,
    told: Generator[Progress, None, Result],
    *,
    begins: float = 0.0,
    ends: float = 100.0,
) -> Result:
    """Let the bar go from `begins` to `ends` percent, never back; what the work returned.

    Raises RunnerError and Cancelled.
    """
    before: dict[str, float] = {}
    total = 0.0
    for key, (_, share) in steps.items():
        before[key] = total
        total += share
    while True:
        try:
            progress = next(told)
        except StopIteration as end:
            run.child(None, None)
            result: Result = end.value
            return result
        title, share = steps[progress.step]
        run.step(progress.step, title)
        if progress.child_pid is not None:
            run.child(progress.child_pid, progress.child_created)
        if progress.line:
            run.line(progress.line)
        done = (before[progress.step] + share * (progress.fraction or 0.0)) / total
        run.progress(
            begins + (ends - begins) * done,
            done=progress.bytes_done or 0,
            total=progress.bytes_total,
            transfer=_transfer_of(progress),
        )


def _transfer_of(progress: Progress) -> Transfer | None:
    """The numbers of a pull; None for a step that has none of its own."""
    if progress.step not in PULLS or not (progress.layers or progress.stalled_for):
        return None
    return Transfer(
        done=progress.bytes_done or 0,
        total=progress.bytes_total,
        unpacked=progress.bytes_unpacked,
        cached=progress.bytes_cached,
        bytes_per_second=progress.bytes_per_second,
        seconds_left=progress.seconds_left,
        stalled_for=progress.stalled_for,
        layers=tuple(
            Layer(layer.id, layer.state, layer.done, layer.total) for layer in progress.layers
        ),
    )
