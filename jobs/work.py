"""Doing a job: the heartbeat, the log lines, the bar, the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from jobs.claim import claim, hand_on, ring_next
from jobs.database import insist, passes, patient
from jobs.events import announce, hint
from jobs.heart import heart_of_this_process
from jobs.models import Job, JobLine
from jobs.outcome import Cancelled, CancelToken, WorkFailed
from jobs.transfer import Transfer, ended

log = logging.getLogger(__name__)

AWAY = "The database was away, or full, while this ran. Nothing is stuck: press Retry."
ANEW = "The database was away, or full, in the midst of this; it begins anew."
MISTAKE = "abm made a mistake here; its log has the details. Retry, or report it."
FIRST_LINES, LAST_LINES = 2_000, 8_000
MAX_LINE = 4_000
BYTES = ("progress_done", "progress_total", "progress_unit", "rate", "transfer")
FLUSHED = ("steps", "percent", *BYTES)


class JobRun:
    """A job while it is being done: what the work tells of itself goes through here."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.token = CancelToken()
        self.is_handed_on = False
        self._lock = threading.Lock()
        self._lines: list[JobLine] = []
        # One that was handed on has lines already.
        last = JobLine.objects.filter(job=job).aggregate(last=Max("number"))["last"]
        self._number: int = last or 0
        self._dirty = False
        self._sample: tuple[float, int] | None = None
        self._beaten = time.monotonic()

    def check(self) -> None:
        """Raise Cancelled if somebody asked to stop."""
        self.token.check()

    def step(self, key: str, title: str) -> None:
        """Begin a step; the one before it ends. Asking for the step under way does nothing."""
        now = timezone.now().isoformat()
        with self._lock:
            steps: list[dict[str, Any]] = self.job.steps
            if steps and steps[-1]["key"] == key:
                return
            if steps and not steps[-1].get("finished_at"):
                steps[-1]["finished_at"] = now
            steps.append({"key": key, "title": title, "started_at": now, "finished_at": None})
            self._dirty = True
        self.line(f"— {title}")
        self.flush()

    def fail_step(self) -> None:
        """The step under way is where it went wrong; what follows tidies up."""
        with self._lock:
            if self.job.steps:
                self.job.steps[-1]["is_failed"] = True
                self._dirty = True

    def line(self, text: str) -> None:
        """Add a line to the job's log; it is written within a quarter of a second."""
        with self._lock:
            for part in text.replace("\x00", "").splitlines():
                self._number += 1
                self._lines.append(
                    JobLine(job_id=self.job.pk, number=self._number, text=part[:MAX_LINE])
                )

    def progress(
        self,
        percent: float,
        *,
        done: int = 0,
        total: int | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        """Tell how far the whole job is, 0 to 100, and the bytes of the step if it has any."""
        with self._lock:
            job = self.job
            job.percent = max(job.percent, min(100.0, percent))
            job.transfer = {}
            if transfer is not None:
                for name, value in transfer.columns.items():
                    setattr(job, name, value)
            elif total:
                job.progress_unit, job.progress_total = "bytes", total
                job.rate = self._rate(done)
                job.progress_done = done
            elif job.progress_unit == "bytes":
                job.progress_unit, job.rate = "steps", None
                job.progress_done, job.progress_total = 0, None
            self._dirty = True

    def _rate(self, done: int) -> float | None:
        """Bytes a second, smoothed so that the time left does not jump."""
        now = time.monotonic()
        if self._sample is None or done < self._sample[1]:
            self._sample = (now, done)
            return None
        seconds = now - self._sample[0]
        if seconds < 0.5:
            return self.job.rate
        current = (done - self._sample[1]) / seconds
        self._sample = (now, done)
        return current if self.job.rate is None else 0.7 * self.job.rate + 0.3 * current

    def child(self, pid: int | None, created: float | None) -> None:
        """Remember a process that a later abm must end if this one is killed."""
        self.job.child_pid, self.job.child_created = pid, created
        row = Job.objects.filter(pk=self.job.pk)
        insist(partial(row.update, child_pid=pid, child_created=created))

    def flush(self) -> None:
        """Write what has gathered: lines, steps, the bar; and beat.

        A database that is away, or full, keeps nobody from working: it is written later.
        """
        try:
            self._write_down()
        except (OperationalError, InterfaceError) as error:
            if not passes(error) or connection.in_atomic_block:
                raise
            connection.close()  # the next one is a new one

    def _write_down(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            dirty, self._dirty = self._dirty, False
            job = self.job
            values: dict[str, Any] = {}
            if dirty:
                values = {name: getattr(job, name) for name in FLUSHED}
            number = self._number
        try:
            self._beat(values)
            if lines:
                self._write(lines, number)
        except (OperationalError, InterfaceError):
            with self._lock:
                self._lines[:0] = lines
                self._dirty |= dirty
                self._beaten = 0.0
            raise
        if dirty:
            hint("jobs", "job.progressed", pk=job.pk)
        if dirty or lines:
            hint(f"job-{job.pk}", "job.logged", pk=job.pk)

    def _beat(self, values: dict[str, Any]) -> None:
        job = self.job
        due = time.monotonic() - self._beaten >= settings.JOB_HEARTBEAT_SECONDS
        if not due and not values:
            return
        self._beaten = time.monotonic()
        values["heartbeat_at"] = Now()
        running = Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING, worker=job.worker)
        if not running.update(**values):
            # The sweep took this worker for dead, and somebody may be trying again.
            self.token.cancel("abm lost touch with this job and ended it.")

    def _write(self, lines: list[JobLine], number: int) -> None:
        JobLine.objects.bulk_create(lines, ignore_conflicts=True)
        if number > FIRST_LINES + LAST_LINES:
            JobLine.objects.filter(
                job_id=self.job.pk, number__gt=FIRST_LINES, number__lte=number - LAST_LINES
            ).delete()

    def finish(
        self, status: Job.Status, *, code: str = "", error: str = "", detail: str = ""
    ) -> None:
        """End the job once; a job that the sweep ended stays ended."""
        steps = self.job.steps
        if status != Job.Status.SUCCEEDED and not any(step.get("is_failed") for step in steps):
            self.fail_step()
        if steps and not steps[-1].get("finished_at"):
            steps[-1]["finished_at"] = timezone.now().isoformat()
        if status == Job.Status.SUCCEEDED:
            self.job.percent = 100
        with patient():
            insist(self._write_down)
            insist(partial(self._end, status, code=code, error=error, detail=detail))
            insist(partial(ring_next, self.job))

    @transaction.atomic
    def _end(self, status: Job.Status, *, code: str, error: str, detail: str) -> None:
        is_ours = Job.objects.filter(pk=self.job.pk, status=Job.Status.RUNNING).update(
            status=status,
            finished_at=timezone.now(),
            steps=self.job.steps,
            percent=self.job.percent,
            rate=None,
            transfer=ended(self.job.transfer, is_good=status == Job.Status.SUCCEEDED),
            error_code=code,
            error=error,
            error_detail=detail,
            child_pid=None,
            child_created=None,
        )
        if not is_ours:
            return
        words = {Job.Status.SUCCEEDED: "is done", Job.Status.CANCELLED: "was cancelled"}
        told = f"{self.job} {words.get(status, 'failed: ' + error)}"
        announce("jobs", "job.changed", text=told, pk=self.job.pk, status=status)
        hint(f"job-{self.job.pk}", "job.changed", pk=self.job.pk)

    def begin_anew(self) -> bool:
        """Let it be done from the start, because the database was away or full in its midst.

        False if somebody wants its end.
        """
        self.line(ANEW)
        with patient():
            insist(self._write_down)
            return insist(partial(hand_on, self.job))


@contextmanager
def running(job_id: int) -> Iterator[JobRun | None]:
    """Claim a job and do it in the block; None if it is not ours to do.

    WorkFailed and Cancelled end the job with their sentence and go no further. A database that was
    away has it begin anew. Anything else is a bug: the job fails, the error goes on to the log.
    What is logged in the block bears the job's number.
    """
    job = claim(job_id)
    if job is None:
        yield None
        return
    with patient():
        run = insist(partial(JobRun, job))
    heart = heart_of_this_process()
    with heart.lock:
        heart.runs[job.pk] = run
    try:
        with patient(), bound_contextvars(job=job.pk):
            yield run
    except Cancelled as stop:
        run.line(stop.message)
        run.flush()
        with patient():
            if run.is_handed_on and insist(partial(hand_on, job)):
                return
        run.finish(Job.Status.CANCELLED, code="CANCELLED", error=stop.message)
    except WorkFailed as error:
        run.line(error.message)
        run.finish(Job.Status.FAILED, code=error.code, error=error.message, detail=error.detail)
    except BaseException as bug:
        if _begins_anew(run, bug):
            return
        raise
    else:
        run.finish(Job.Status.SUCCEEDED)
    finally:
        with heart.lock:
            heart.runs.pop(job.pk, None)


def _begins_anew(run: JobRun, bug: BaseException) -> bool:
    """End the job by a bug; or have it done again, if it was the database. Whether it is."""
    if not passes(bug):
        detail = type(bug).__name__
        run.finish(Job.Status.FAILED, code="UNEXPECTED", error=MISTAKE, detail=detail)
        return False
    if run.begin_anew():
        log.warning("%s begins anew: %s", run.job, str(bug).strip())
        return True
    run.finish(Job.Status.FAILED, code="DATABASE_AWAY", error=AWAY, detail=str(bug))
    return False
