"""`manage.py abm jobs`: what is under way, from a shell."""

from __future__ import annotations

from typing import Any

from jobs import services
from jobs.api import lines_answer
from jobs.api_answers import JobAnswer, job_shape, shown
from jobs.models import Job
from jobs.queries import jobs_list, log_text
from jobs.terminal import Terminal, job_verb, verb

COLUMNS = {
    "job_id": "JOB",
    "status": "STATUS",
    "action": "ACTION",
    "subject": "WHAT",
    "percent": "%",
    "error": "ERROR",
}


def add_arguments(verbs: Any) -> None:
    """The verbs below `jobs`."""
    listed = verb(verbs, "list", "the newest jobs")
    listed.add_argument("--status", choices=["open", *Job.Status.values], default="")
    listed.add_argument("--limit", type=int, default=20)
    for name, words in {
        "show": "all of a job",
        "log": "a job's whole log",
        "cancel": "end a job",
    }.items():
        verb(verbs, name, words).add_argument("job", type=int)
    for name, words in {"retry": "do a job again", "wait": "wait for a job's end"}.items():
        job_verb(verbs, name, words).add_argument("job", type=int)


def handle(options: dict[str, Any], terminal: Terminal) -> None:
    """Do what was asked. Raises Refused and CommandError."""
    VERBS[options["verb"]](options, terminal)


def _list(options: dict[str, Any], terminal: Terminal) -> None:
    jobs = jobs_list(action="", text="").select_related("engine__host")
    if status := options["status"]:
        jobs = jobs.filter(status__in=Job.OPEN if status == "open" else [status])
    terminal.rows([job_shape(job) for job in jobs[: max(1, options["limit"])]], COLUMNS)


def _show(options: dict[str, Any], terminal: Terminal) -> None:
    job = job_shape(shown(options["job"]))
    terminal.one(JobAnswer(job=job) if terminal.is_json else job)


def _log(options: dict[str, Any], terminal: Terminal) -> None:
    job = shown(options["job"])
    if terminal.is_json:
        terminal.one(lines_answer(job))
        return
    for line in log_text(job):
        terminal.out.write(line, ending="")


def _cancel(options: dict[str, Any], terminal: Terminal) -> None:
    job = services.cancel_job(shown(options["job"]), user=None)
    terminal.say(f"{job} is being cancelled." if job.is_open else f"{job} was cancelled.")


def _retry(options: dict[str, Any], terminal: Terminal) -> None:
    terminal.job(services.retry_job(shown(options["job"]), user=None))


def _wait(options: dict[str, Any], terminal: Terminal) -> None:
    terminal.job(shown(options["job"]))


VERBS = {
    "list": _list,
    "show": _show,
    "log": _log,
    "cancel": _cancel,
    "retry": _retry,
    "wait": _wait,
}
