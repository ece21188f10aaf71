"""The work of syncing a source."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.utils import timezone

from accounts.refused import Refused
from catalog.models import CatalogSource
from catalog.reading import CatalogUnreadable, read_catalog
from catalog.services import read_from_disk, sync_source
from catalog.source import Fetched, FetchFailed, fetch
from catalog.sync import note_failure, note_unchanged, write_reading
from jobs.outcome import WorkFailed
from jobs.services import ring_task
from jobs.work import JobRun, running

DAY_SECONDS = 86_400
RETRY_SECONDS = 3_600
READER = f"abm {settings.VERSION} for {settings.COMPATIBLE_VERSION}"


class SyncFailed(WorkFailed):
    """The catalog could not be fetched or read; the last good one stays."""

    code = "SYNC_FAILED"


def run(job_id: int) -> None:
    """Do the job `job_id` if it is still to be done."""
    with running(job_id) as job_run:
        if job_run is None:
            return
        source = CatalogSource.objects.filter(pk=job_run.job.params["source"]).first()
        if source is None:
            raise SyncFailed(f"{job_run.job.subject} was deleted meanwhile.")
        sync(job_run, source)


def sync(run: JobRun, source: CatalogSource) -> None:
    """Fetch, check, write down."""
    if source.kind == CatalogSource.Kind.ONLINE:
        _sync_online(run, source)
    else:
        run.step("read", "Read it")
        read_from_disk(source)
        if source.error:
            raise SyncFailed(f"{source} could not be read: {source.error}")
    for problem in source.problems:
        run.line(f"Left out: {problem}")
    ring_task("engines.measure_variants")


def _sync_online(run: JobRun, source: CatalogSource) -> None:
    run.step("fetch", f"Fetch {source.url}")
    try:
        fetched = _fetch(source)
        if fetched.content is None:
            run.line("Nothing changed since the last time.")
            note_unchanged(source)
            return
        run.check()
        run.step("read", "Read it")
        reading = read_catalog(fetched.content, compatible_with=settings.COMPATIBLE_VERSION)
    except (FetchFailed, CatalogUnreadable) as error:
        note_failure(source, str(error))
        raise SyncFailed(str(error)) from error
    changed = write_reading(source, reading)
    CatalogSource.objects.filter(pk=source.pk, url=source.url).update(
        etag=fetched.etag,
        last_modified=fetched.last_modified,
        content_sha256=hashlib.sha256(fetched.content).hexdigest(),
        read_by=READER,
    )
    run.line(f"{len(reading.engines)} engines, {changed} new, changed or withdrawn.")


def _fetch(source: CatalogSource) -> Fetched:
    is_read = source.read_by == READER
    return fetch(
        source.url,
        etag=source.etag if is_read else "",
        last_modified=source.last_modified if is_read else "",
        allows_private=source.allows_private_addresses,
    )


def sync_due() -> None:
    """Look into the folder of engines, and ask for online sources: daily, hourly after a fault."""
    for folder in CatalogSource.objects.filter(is_enabled=True, kind=CatalogSource.Kind.FOLDER):
        read_from_disk(folder)
    if not settings.CATALOG_SYNC:
        return
    now = timezone.now()
    for source in CatalogSource.objects.filter(is_enabled=True, kind=CatalogSource.Kind.ONLINE):
        wait = RETRY_SECONDS if source.error else DAY_SECONDS
        if source.checked_at is None or (now - source.checked_at).total_seconds() > wait:
            try:
                sync_source(source, user=None)
            except Refused:
                continue
