"""What becomes of an install whose host goes away while it is under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engines.models import Engine
from hosts.runners.base import HostUnreachable
from hosts.work import probe
from jobs.models import Job
from jobs.outcome import Cancelled
from jobs.work import JobRun


@contextmanager
def going_on_later(run: JobRun, engine: Engine) -> Iterator[None]:
    """An install on a remote host that went away waits, and begins anew when the host is back.

    What Docker had brought by then it need not bring again. Every other job fails, and so does
    an install of which somebody chose that it does not wait.
    """
    try:
        yield
    except HostUnreachable as error:
        host = engine.host
        if run.job.action != Job.Action.INSTALL or not run.job.waits_while_away:
            raise
        run.line(error.message)
        probe(host)  # so that the next claim sees that it is away
        run.is_handed_on = True
        raise Cancelled(f"It goes on when {host} is back.") from error
