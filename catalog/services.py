"""What may be asked of the catalog."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from catalog.models import CatalogEntry, CatalogSource
from catalog.reading import CatalogUnreadable, read_catalog, read_folder
from catalog.sync import note_failure, write_reading
from jobs.events import announce
from jobs.models import Job
from jobs.services import submit_job

BUNDLED, ONLINE, LOCAL, CUSTOM = "abm", "Audiobook Maker engines", "local", "custom"
TASK = "catalog.run_job"


def ensure_sources() -> None:
    """The built-in sources as the settings want them; the ones on this disk are read now."""
    bundled = _source(BUNDLED, CatalogSource.Kind.BUNDLED)
    read_from_disk(bundled)
    _source(CUSTOM, CatalogSource.Kind.CUSTOM)
    if settings.CATALOG_URL:
        _source(ONLINE, CatalogSource.Kind.ONLINE, url=settings.CATALOG_URL)
    else:
        CatalogSource.objects.filter(name=ONLINE).update(is_enabled=False)
    if settings.ENGINES_DIR is not None:
        local = _source(LOCAL, CatalogSource.Kind.FOLDER, url=str(settings.ENGINES_DIR))
        read_from_disk(local)


def _source(name: str, kind: CatalogSource.Kind, *, url: str = "") -> CatalogSource:
    source, created = CatalogSource.objects.get_or_create(
        name=name, defaults={"kind": kind, "url": url}
    )
    if not created and source.url != url:
        source.url, source.etag, source.last_modified = url, "", ""
        source.save(update_fields=["url", "etag", "last_modified", "updated_at"])
    return source


def read_from_disk(source: CatalogSource) -> None:
    """Sync a source that lies on this machine; a fault is written on the source."""
    try:
        if source.kind == CatalogSource.Kind.BUNDLED:
            folder = settings.BASE_DIR / "bundled"
            reading = read_catalog(
                (folder / "catalog.yaml").read_bytes(),
                compatible_with=settings.COMPATIBLE_VERSION,
                folder=folder,
            )
        else:
            reading = read_folder(settings.ENGINES_DIR)
    except (CatalogUnreadable, OSError) as error:
        note_failure(source, str(error))
        return
    write_reading(source, reading)


def sync_source(source: CatalogSource, *, user: User | None) -> Job:
    """Fetch a source anew, as a job; asked twice, both get the job that waits or runs."""
    require_role(user, User.Role.OPERATOR)
    if source.kind == CatalogSource.Kind.CUSTOM:
        raise Refused("SOURCE_NOT_SYNCED", f"{source} holds entries made here; nothing to sync.")
    if not source.is_enabled:
        raise Refused("SOURCE_DISABLED", f"{source} is switched off.")
    with transaction.atomic():
        open_jobs = Job.objects.filter(action=Job.Action.SYNC, status__in=Job.OPEN)
        for job in open_jobs:
            if job.params.get("source") == source.pk:
                return job
        return submit_job(
            action=Job.Action.SYNC,
            task=TASK,
            subject=str(source),
            user=user,
            params={"source": source.pk},
        )


def add_source(*, name: str, url: str, allows_private: bool, user: User | None) -> CatalogSource:
    """One more online catalog. Raises Refused SOURCE_INVALID or SOURCE_EXISTS."""
    require_role(user, User.Role.ADMIN)
    name, url = name.strip(), url.strip()
    parts = urlsplit(url)
    if not name or len(name) > 100:
        raise Refused("SOURCE_INVALID", "A source's name has 1 to 100 characters.", status=400)
    if parts.scheme not in {"http", "https"} or not parts.hostname or len(url) > 500:
        raise Refused(
            "SOURCE_INVALID", "A catalog's address begins with http:// or https://.", status=400
        )
    try:
        with transaction.atomic():
            source = CatalogSource.objects.create(
                name=name, url=url, allows_private_addresses=allows_private
            )
    except IntegrityError as error:
        raise Refused("SOURCE_EXISTS", f"There is a source named {name} already.") from error
    sync_source(source, user=user)
    return source


@transaction.atomic
def set_override(entry: CatalogEntry, *, field: str, value: Any, user: User | None) -> CatalogEntry:
    """Say something else than the source; the admin's word survives every sync."""
    require_role(user, User.Role.ADMIN)
    if field not in CatalogEntry.OVERRIDABLE:
        raise Refused("FIELD_FIXED", f"{field} of {entry} cannot be overridden.", status=400)
    if value == getattr(entry, field):
        entry.overrides.pop(field, None)
    else:
        entry.overrides[field] = value
    entry.save(update_fields=["overrides", "updated_at"])
    announce("catalog", "catalog.changed", text=f"{entry} was changed", pk=entry.source_id)
    return entry


@transaction.atomic
def reset_override(entry: CatalogEntry, *, field: str, user: User | None) -> CatalogEntry:
    """Take the source's word again; quiet if nothing was overridden."""
    require_role(user, User.Role.ADMIN)
    if field in entry.overrides:
        del entry.overrides[field]
        entry.save(update_fields=["overrides", "updated_at"])
        announce("catalog", "catalog.changed", text=f"{entry} was reset", pk=entry.source_id)
    return entry
