"""Waiting for a job's end: on the event loop, with a look at the row now and then."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections

from jobs.models import Job

FIRST_LOOK, LONGEST_PAUSE, GROWTH = 0.02, 0.5, 1.5
"""Seconds. A look costs a third of a millisecond, so a hundred who wait cost little."""
POOL = ThreadPoolExecutor(max_workers=2, thread_name_prefix="abm-wait")


async def job_ended(pk: int, *, seconds: float) -> bool:
    """Whether the job ended, or is gone, within `seconds`."""
    until, pause = time.monotonic() + seconds, FIRST_LOOK
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(POOL, _is_open, pk):
        left = until - time.monotonic()
        if left <= 0:
            return False
        await asyncio.sleep(min(pause, left))
        pause = min(LONGEST_PAUSE, pause * GROWTH)
    return True


def _is_open(pk: int) -> bool:
    close_old_connections()
    return Job.objects.filter(pk=pk, status__in=Job.OPEN).exists()
