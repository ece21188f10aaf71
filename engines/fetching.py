"""Following an install: what a runner tells becomes steps, lines and one bar."""

from __future__ import annotations

from hosts.runners.base import EngineRunner, EngineSpec
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
        )
    run.child(None, None)
