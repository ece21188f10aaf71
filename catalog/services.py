"""What may be asked of the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.audit import columns, note
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from catalog.models import CatalogEntry, CatalogSource
from catalog.reading import CatalogUnreadable, folder_hash, read_catalog, read_folder
from catalog.source import FetchFailed, check_address, names_private_address
from catalog.sync import note_failure, write_reading
from jobs.events import announce
from jobs.models import Job
from jobs.services import submit_once

BUNDLED, ONLINE, LOCAL, CUSTOM = "abm", "Audiobook Maker engines", "local", "custom"
BUILT_IN = (BUNDLED, ONLINE, LOCAL, CUSTOM)
TASK = "catalog.run_job"


def ensure_sources() -> None:
    """The built-in sources as the settings want them; this disk is read now, the rest by jobs."""
    read_from_disk(_built_in(BUNDLED, CatalogSource.Kind.BUNDLED))
    _built_in(CUSTOM, CatalogSource.Kind.CUSTOM)
    if settings.ENGINES_DIR is not None:
        folder = str(settings.ENGINES_DIR)
        read_from_disk(_built_in(LOCAL, CatalogSource.Kind.FOLDER, url=folder))
    else:
        _switch_off(LOCAL)
    if settings.CATALOG_URL:
        _built_in(ONLINE, CatalogSource.Kind.ONLINE, url=settings.CATALOG_URL)
    else:
        _switch_off(ONLINE)
    if settings.CATALOG_SYNC:
        sync_all(user=None)


def _built_in(name: str, kind: CatalogSource.Kind, *, url: str = "") -> CatalogSource:
    source, created = CatalogSource.objects.get_or_create(
        name=name, defaults={"kind": kind, "url": url}
    )
    if not created and source.url != url:
        if not source.url:
            source.is_enabled = True  # the settings had switched it off, not a person
        source.url, source.etag, source.last_modified = url, "", ""
        source.save(update_fields=["url", "etag", "last_modified", "is_enabled", "updated_at"])
    if names_private_address(url) and not source.allows_private_addresses:
        source.allows_private_addresses = True
        source.save(update_fields=["allows_private_addresses", "updated_at"])
    return source


def _switch_off(name: str) -> None:
    """The settings name no place for this built-in source; what is installed from it stays."""
    CatalogSource.objects.filter(name=name).update(
        is_enabled=False, url="", etag="", last_modified="", error="", problems=[]
    )


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
            reading = read_folder(Path(source.url))
    except CatalogUnreadable as error:
        note_failure(source, str(error))
    except OSError as error:
        note_failure(source, f"{error.filename} cannot be read: {error.strerror}.")
    else:
        write_reading(source, reading)


def sync_all(*, user: User | None) -> list[Job]:
    """Fetch every online source that is switched on."""
    sources = CatalogSource.objects.filter(is_enabled=True, kind=CatalogSource.Kind.ONLINE)
    return [sync_source(source, user=user) for source in sources]


def sync_source(source: CatalogSource, *, user: User | None) -> Job:
    """Fetch a source anew, as a job; asked twice, both get the job that waits or runs."""
    require_role(user, User.Role.OPERATOR)
    if source.kind == CatalogSource.Kind.CUSTOM:
        raise Refused("SOURCE_NOT_SYNCED", f"{source} holds entries made here; nothing to sync.")
    if not source.is_enabled:
        raise Refused("SOURCE_DISABLED", f"{source} is switched off.")
    return submit_once(
        at=source,
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
    try:
        check_source(name=name, url=url)
    except ValueError as error:
        raise Refused("SOURCE_INVALID", str(error), status=400) from error
    source = CatalogSource(name=name, url=url, allows_private_addresses=allows_private)
    try:
        return save_source(source, user=user)
    except IntegrityError as error:
        raise Refused("SOURCE_EXISTS", f"There is a source named {name} already.") from error


def change_source(
    source: CatalogSource,
    *,
    name: str | None = None,
    url: str | None = None,
    is_enabled: bool | None = None,
    allows_private: bool | None = None,
    user: User | None,
) -> CatalogSource:
    """Change what is not None. Raises Refused SOURCE_BUILT_IN, SOURCE_INVALID or SOURCE_EXISTS."""
    require_role(user, User.Role.ADMIN)
    wanted = {"name": name, "url": url}
    named = {key: text.strip() for key, text in wanted.items() if text is not None}
    if any(text != getattr(source, key) for key, text in named.items()):
        _require_added(source, "its name and address are given")
        for key, text in named.items():
            setattr(source, key, text)
        try:
            check_source(name=source.name, url=source.url)
        except ValueError as error:
            raise Refused("SOURCE_INVALID", str(error), status=400) from error
    if is_enabled is not None:
        source.is_enabled = is_enabled
    if allows_private is not None:
        source.allows_private_addresses = allows_private
    try:
        return save_source(source, user=user)
    except IntegrityError as error:
        raise Refused("SOURCE_EXISTS", f"There is a source named {source.name} already.") from error


@transaction.atomic
def remove_source(source: CatalogSource, *, user: User | None) -> None:
    """Forget a source and what it lists; engines that were installed from it stay as they are.

    Raises Refused SOURCE_BUILT_IN, or JOB_RUNNING while it is being synced.
    """
    require_role(user, User.Role.ADMIN)
    _require_added(source, "switch it off instead")
    CatalogSource.objects.select_for_update().filter(pk=source.pk).first()
    for job in Job.objects.filter(action=Job.Action.SYNC, status__in=Job.OPEN):
        if job.params.get("source") == source.pk:
            raise Refused(
                "JOB_RUNNING", f"{source} is being synced. Cancel that first.", job=job.pk
            )
    note("source.remove", source, user=user, before=columns(source, "name", "url"))
    pk, text = source.pk, f"The source {source} was removed"
    source.delete()
    announce("catalog", "catalog.changed", text=text, pk=pk)


def _require_added(source: CatalogSource, way_out: str) -> None:
    if source.name in BUILT_IN:
        raise Refused("SOURCE_BUILT_IN", f"{source} comes with abm: {way_out}.")


@transaction.atomic
def save_source(source: CatalogSource, *, user: User | None) -> CatalogSource:
    """Write a new or changed source and sync it; another address is fetched from the start."""
    require_role(user, User.Role.ADMIN)
    told = ("name", "url", "is_enabled", "allows_private_addresses")
    former = CatalogSource.objects.filter(pk=source.pk).first()
    before = former.url if former else None
    said = [*told, "updated_at"]
    if before not in {None, source.url}:
        source.etag = source.last_modified = ""
        said += ["etag", "last_modified"]
    source.save(update_fields=None if before is None else said)
    announce("catalog", "catalog.changed", text=f"The source {source} was saved", pk=source.pk)
    note(
        "source.change" if former else "source.add",
        source,
        user=user,
        before=columns(former, *told) if former else None,
        after=columns(source, *told),
    )
    if source.is_enabled and source.kind == CatalogSource.Kind.ONLINE:
        sync_source(source, user=user)
    return source


def check_source(*, name: str, url: str) -> None:
    """Raises ValueError with a sentence for a name or an address that no source can have."""
    if not name or len(name) > 100:
        raise ValueError("A source's name has 1 to 100 characters.")
    if name.lower() in {built_in.lower() for built_in in BUILT_IN}:
        raise ValueError(f"{name} is the name of a source that comes with abm; choose another.")
    if len(url) > 500:
        raise ValueError("A catalog's address has at most 500 characters.")
    try:
        check_address(url)
    except FetchFailed as error:
        raise ValueError(str(error)) from error


@transaction.atomic
def save_custom_entry(entry: CatalogEntry, *, user: User | None) -> CatalogEntry:
    """Write an entry that an admin made; no sync ever touches it."""
    require_role(user, User.Role.ADMIN)
    if entry.source.kind != CatalogSource.Kind.CUSTOM:
        raise Refused("ENTRY_SYNCED", f"{entry} belongs to {entry.source}; override its fields.")
    entry.content_hash = folder_hash(Path(entry.folder)) if entry.folder else ""
    entry.save()
    note("entry.change", entry, user=user)
    announce("catalog", "catalog.changed", text=f"{entry} was changed here", pk=entry.source_id)
    return entry


@transaction.atomic
def set_override(entry: CatalogEntry, *, field: str, value: Any, user: User | None) -> CatalogEntry:
    """Say something else than the source; the admin's word survives every sync."""
    require_role(user, User.Role.ADMIN)
    if field not in CatalogEntry.OVERRIDABLE:
        raise Refused("FIELD_FIXED", f"{field} of {entry} cannot be overridden.", status=400)
    entry = CatalogEntry.objects.select_for_update().select_related("source").get(pk=entry.pk)
    before = {field: entry.effective(field)}
    if value == getattr(entry, field):
        entry.overrides.pop(field, None)
    else:
        entry.overrides[field] = value
    entry.save(update_fields=["overrides", "updated_at"])
    announce("catalog", "catalog.changed", text=f"{entry} was changed here", pk=entry.source_id)
    note("entry.override", entry, user=user, before=before, after={field: value})
    return entry


@transaction.atomic
def reset_override(
    entry: CatalogEntry, *, user: User | None, field: str | None = None
) -> CatalogEntry:
    """Take the source's word again, for one field or all; quiet if nothing was overridden."""
    require_role(user, User.Role.ADMIN)
    entry = CatalogEntry.objects.select_for_update().select_related("source").get(pk=entry.pk)
    kept = {name: value for name, value in entry.overrides.items() if field not in {None, name}}
    if kept != entry.overrides:
        note("entry.reset", entry, user=user, before=entry.overrides, after=kept)
        entry.overrides = kept
        entry.save(update_fields=["overrides", "updated_at"])
        announce("catalog", "catalog.changed", text=f"{entry} was reset", pk=entry.source_id)
    return entry
