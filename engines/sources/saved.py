"""Giving out an image that a job has saved to a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from django.http import StreamingHttpResponse

from accounts.refused import Refused
from engines.sources.places import saved_files
from jobs.models import Job

PIECE_BYTES = 2**20


def saved_image(job: Job) -> StreamingHttpResponse:
    """Its file, piece by piece. Raises Refused IMAGE_GONE where there is none, or none any more."""
    file = saved_files() / Path(str(job.params.get("file") or "none")).name
    if job.action != Job.Action.SAVE or not file.is_file():
        raise Refused(
            "IMAGE_GONE",
            "This file is gone: it was kept for a day. Save the image again.",
            status=404,
            jobId=job.pk,
        )
    answer = StreamingHttpResponse(_pieces(file), content_type="application/x-tar")
    answer["Content-Length"] = str(file.stat().st_size)
    shown = file.name.partition("-")[2]
    answer["Content-Disposition"] = f'attachment; filename="{shown}"'
    return answer


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    """Django would gather in memory what is not asynchronous, and it is large."""
    with file.open("rb") as opened:
        while piece := await asyncio.to_thread(opened.read, PIECE_BYTES):
            yield piece
