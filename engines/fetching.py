"""Following an install: what a runner tells becomes steps, lines and one bar."""

from __future__ import annotations

from dataclasses import replace

from engines.storage_work import remember_image
from hosts.runners.base import EngineRunner, EngineSpec, Progress
from jobs.transfer import Layer, Transfer
from jobs.work import JobRun


def follow_install(run: JobRun, runner: EngineRunner, spec: EngineSpec, *, whole: float) -> None:
    """Install, and let the bar go from 0 to `whole` percent, never back.

    Raises RunnerError and Cancelled.
    """
    titles = runner.INSTALL_STEPS
    before: dict[str, float] = {}
    total = 0.0
    for key, (_, share) in titles.items():
        before[key] = total
        total += share
    for progress in runner.install(spec, run.token):
        title, share = titles[progress.step]
        run.step(progress.step, title)
        if progress.child_pid is not None:
            run.child(progress.child_pid, progress.child_created)
        if progress.line:
            run.line(progress.line)
        fraction = progress.fraction or 0.0
        run.progress(
            whole * (before[progress.step] + share * fraction) / total,
            done=progress.bytes_done or 0,
            total=progress.bytes_total,
            transfer=_transfer_of(progress),
        )
    run.child(None, None)
    if spec.container is not None:
        newest = replace(spec, container=replace(spec.container, image_id=""))
        remember_image(run.job.host_id, spec.container.image, runner.image(newest))


def _transfer_of(progress: Progress) -> Transfer | None:
    """The numbers of a pull; None for a step that has none of its own."""
    if not progress.layers and not progress.stalled_for:
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
