"""Following an install, and remembering the image that it brought."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from engines.following import follow
from engines.storage_work import remember_image
from hosts.runners.base import EngineRunner, EngineSpec, Progress
from jobs.outcome import CancelToken
from jobs.work import JobRun


def follow_install(
    run: JobRun, runner: EngineRunner, spec: EngineSpec, *, whole: float, begins: float = 0.0
) -> None:
    """Install, and let the bar go from `begins` to `whole` percent, never back.

    Raises RunnerError and Cancelled.
    """
    told = _told(runner, spec, run.token)
    follow(run, runner.INSTALL_STEPS, told, begins=begins, ends=whole)
    if spec.container is not None:
        newest = replace(spec, container=replace(spec.container, image_id=""))
        remember_image(run.job.host_id, spec.container.image, runner.image(newest))


def _told(
    runner: EngineRunner, spec: EngineSpec, cancel: CancelToken
) -> Generator[Progress, None, None]:
    yield from runner.install(spec, cancel)
