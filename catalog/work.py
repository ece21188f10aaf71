"""The work of syncing an online source."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.utils import timezone

from accounts.refused import Refused
from catalog.models import CatalogSource
from catalog.reading import CatalogUnreadable, read_catalog
from catalog.services import read_from_disk, sync_source
from catalog.source import FetchFailed, fetch
from catalog.sync import note_failure, write_reading
from jobs.outcome import WorkFailed
from jobs.work import JobRun, running

DAY_SECONDS = 86_400
RETRY_SECONDS = 3_600


class SyncFailed(WorkFailed):
    """The catalog could not be fetched or read; the last good one stays."""

    code = "SYNC_FAILED"


def run(job_id: int) -> None:
    """Do the job `job_id` if it is still to be done."""
    with running(job_id) as job_run:
        if job_run is not None:
            sync(job_run, CatalogSource.objects.get(pk=job_run.job.params["source"]))


def sync(run: JobRun, source: CatalogSource) -> None:
    """Fetch, check, write down."""
    if source.kind != CatalogSource.Kind.ONLINE:
        read_from_disk(source)
        return
    run.step("fetch", f"Fetch {source.url}")
    try:
        fetched = fetch(
            source.url,
            etag=source.etag,
            last_modified=source.last_modified,
            allows_private=source.allows_private_addresses,
        )
        if fetched.content is None:
            run.line("Nothing changed since the last time.")
            now = timezone.now()
            CatalogSource.objects.filter(pk=source.pk).update(
                checked_at=now, synced_at=now, error=""
            )
            return
        run.step("read", "Read it")
        reading = read_catalog(fetched.content, compatible_with=settings.COMPATIBLE_VERSION)
    except (FetchFailed, CatalogUnreadable) as error:
        note_failure(source, str(error))
        raise SyncFailed(f"{source} could not be synced: {error}") from error
    count = write_reading(source, reading)
    CatalogSource.objects.filter(pk=source.pk).update(
        etag=fetched.etag,
        last_modified=fetched.last_modified,
        content_sha256=hashlib.sha256(fetched.content).hexdigest(),
    )
    run.line(f"{count} engines.")
    for problem in reading.problems:
        run.line(f"Left out: {problem}")


def sync_due() -> None:
    """Ask for the sources whose last check is a day old, or an hour if it failed."""
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
