"""Writing down what a source lists: updated and withdrawn, never deleted; overrides stay."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from catalog.definition import EngineDefinition
from catalog.models import CatalogEntry, CatalogSource, Variant
from catalog.reading import Found, Reading
from jobs.events import announce

MEGABYTE = 1_000_000


@transaction.atomic
def write_reading(source: CatalogSource, reading: Reading) -> int:
    """Bring the source's entries in step with `reading`; how many of them changed.

    What is as it was is not written, so that a daily sync of a large catalog costs one query.
    """
    rows = source.entries.select_for_update().prefetch_related("variants")
    present = {entry.name: entry for entry in rows}
    changed = 0
    for found in reading.engines:
        changed += _write_entry(source, present.pop(found.definition.name, None), found)
    gone = [entry.pk for entry in present.values() if not entry.is_withdrawn]
    if gone:
        CatalogEntry.objects.filter(pk__in=gone).update(is_withdrawn=True)
        changed += len(gone)
    was = (source.error, source.problems)
    _note_success(source, reading)
    if changed or was != (source.error, source.problems):
        text = f"{source}: {changed} engines are new, changed or withdrawn" if changed else ""
        announce("catalog", "catalog.changed", text=text, pk=source.pk)
    return changed


def _note_success(source: CatalogSource, reading: Reading) -> None:
    source.synced_at = source.checked_at = timezone.now()
    source.error = ""
    source.problems = list(reading.problems)
    source.registry = reading.registry
    source.save(
        update_fields=["synced_at", "checked_at", "error", "problems", "registry", "updated_at"]
    )


def _write_entry(source: CatalogSource, entry: CatalogEntry | None, found: Found) -> bool:
    """Whether anything changed. `overrides` is not among the fields: an admin may save it now."""
    fields = found.definition.entry_fields()
    fields |= {"folder": found.folder, "content_hash": found.content_hash, "is_withdrawn": False}
    if entry is None:
        entry = CatalogEntry.objects.create(source=source, name=found.definition.name, **fields)
        _write_variants(entry, {}, found.definition, image=found.image)
        return True
    is_changed = _update(entry, fields, "updated_at")
    variants = {variant.tag: variant for variant in entry.variants.all()}
    return _write_variants(entry, variants, found.definition, image=found.image) or is_changed


def _write_variants(
    entry: CatalogEntry, present: dict[str, Variant], definition: EngineDefinition, *, image: str
) -> bool:
    """One row a tag; a tag that is gone is withdrawn."""
    is_changed = False
    for position, variant in enumerate(definition.variants):
        fields: dict[str, Any] = {
            "image": image,
            "platforms": variant.platforms,
            "needs_gpu": variant.requires_gpu,
            "position": position,
            "is_withdrawn": False,
            **_sizes(definition),
        }
        row = present.pop(variant.tag, None)
        if row is not None and row.measured_image == f"{image}:{variant.tag}":
            fields = _without_measured(row, fields)
        if row is None:
            Variant.objects.create(entry=entry, tag=variant.tag, **fields)
            is_changed = True
        else:
            is_changed = _update(row, fields) or is_changed
    for row in present.values():
        is_changed = _update(row, {"is_withdrawn": True}) or is_changed
    return is_changed


def _without_measured(row: Variant, fields: dict[str, Any]) -> dict[str, Any]:
    """What a registry told of this very image counts more than what the source says of it."""
    measured = {"download_bytes", "disk_bytes"}
    if row.has_measured_platforms and not fields["platforms"]:
        measured.add("platforms")
    return {name: value for name, value in fields.items() if name not in measured}


def _update(row: CatalogEntry | Variant, fields: dict[str, Any], *also: str) -> bool:
    """Save the fields that differ; whether there were any."""
    differing = [name for name, value in fields.items() if getattr(row, name) != value]
    for name in differing:
        setattr(row, name, fields[name])
    if differing:
        row.save(update_fields=[*differing, *also])
    return bool(differing)


def _sizes(definition: EngineDefinition) -> dict[str, int]:
    """Only what the source says: sizes that abm learned otherwise stay."""
    said = {"download_bytes": definition.abm.download_mb, "disk_bytes": definition.abm.disk_mb}
    return {name: int(value * MEGABYTE) for name, value in said.items() if value is not None}


def note_failure(source: CatalogSource, why: str) -> None:
    """The last good catalog stays; the page says since when, and why not newer."""
    source.checked_at = timezone.now()
    # An online source is read by a job, and the job tells how it ended.
    is_news = source.error != why and source.kind != CatalogSource.Kind.ONLINE
    source.error = why
    source.save(update_fields=["checked_at", "error", "updated_at"])
    text = f"{source} could not be synced: {why}" if is_news else ""
    announce("catalog", "catalog.changed", text=text, pk=source.pk)


def note_unchanged(source: CatalogSource) -> None:
    """The source says that it is as it was at the last good sync."""
    had_error = bool(source.error)
    source.synced_at = source.checked_at = timezone.now()
    source.error = ""
    source.save(update_fields=["synced_at", "checked_at", "error", "updated_at"])
    if had_error:
        announce("catalog", "catalog.changed", pk=source.pk)
