"""Jobs on a host that are no engine's: its disk, its models, its images, strays."""

from __future__ import annotations

from collections.abc import Callable

from engines import sample_work, storage_work, stray_work
from engines.sources import build_work, copy_work, discover_work, push_work, tar_work
from hosts.models import Host
from hosts.runners.base import EngineRunner
from hosts.work import runner_of
from jobs.models import Job
from jobs.work import JobRun, running

VERBS: dict[str, Callable[[JobRun, EngineRunner, Host], None]] = {
    Job.Action.ADOPT: stray_work.adopt,
    Job.Action.REMOVE: stray_work.remove,
    Job.Action.RECLAIM: storage_work.reclaim,
    Job.Action.DELETE: storage_work.delete_models,
    Job.Action.BUILD: build_work.build,
    Job.Action.PUSH: push_work.push_image,
    Job.Action.LOAD_IMAGE: tar_work.load_image,
    Job.Action.SAVE: tar_work.save_image,
    Job.Action.COPY: copy_work.copy_image,
    Job.Action.SAMPLES: sample_work.bring,
    Job.Action.FOLDER: sample_work.make_folder,
    Job.Action.EXAMINE: discover_work.examine,
}


def run(job_id: int) -> None:
    """Do the job `job_id` if it is still to be done."""
    with running(job_id) as job_run:
        if job_run is None:
            return
        host = Host.objects.get(pk=job_run.job.host_id or 0)
        with runner_of(host) as runner:
            VERBS[job_run.job.action](job_run, runner, host)
