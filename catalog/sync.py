"""Writing down what a source lists: updated and withdrawn, never deleted; overrides stay."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from catalog.definition import EngineDefinition
from catalog.models import CatalogEntry, CatalogSource, Variant
from catalog.reading import Found, Reading
from jobs.events import announce

MEGABYTE = 1_000_000


@transaction.atomic
def write_reading(source: CatalogSource, reading: Reading) -> int:
    """Bring the source's entries in step with `reading`; the number of engines it lists."""
    present = {entry.name: entry for entry in source.entries.all()}
    for found in reading.engines:
        _write_entry(source, present.pop(found.definition.name, None), found)
    for entry in present.values():
        if not entry.is_withdrawn:
            CatalogEntry.objects.filter(pk=entry.pk).update(is_withdrawn=True)
    now = timezone.now()
    source.synced_at = source.checked_at = now
    source.error = ""
    source.problems = list(reading.problems)
    source.registry = reading.registry
    source.save(
        update_fields=["synced_at", "checked_at", "error", "problems", "registry", "updated_at"]
    )
    announce("catalog", "catalog.changed", pk=source.pk)
    return len(reading.engines)


def _write_entry(source: CatalogSource, entry: CatalogEntry | None, found: Found) -> None:
    fields = found.definition.entry_fields()
    fields |= {"folder": found.folder, "content_hash": found.content_hash, "is_withdrawn": False}
    entry = entry or CatalogEntry(source=source, name=found.definition.name)
    for name, value in fields.items():
        setattr(entry, name, value)
    entry.save()
    write_variants(entry, found.definition, image=found.image)


def write_variants(entry: CatalogEntry, definition: EngineDefinition, *, image: str) -> None:
    """One row a tag; a tag that is gone is withdrawn."""
    extras = definition.abm
    tags = [variant.tag for variant in definition.variants]
    entry.variants.exclude(tag__in=tags).update(is_withdrawn=True)
    for position, variant in enumerate(definition.variants):
        Variant.objects.update_or_create(
            entry=entry,
            tag=variant.tag,
            defaults={
                "image": image,
                "platforms": variant.platforms,
                "needs_gpu": variant.requires_gpu,
                "position": position,
                "is_withdrawn": False,
                "download_bytes": _bytes(extras.download_mb),
                "disk_bytes": _bytes(extras.disk_mb),
            },
        )


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else int(megabytes * MEGABYTE)


def note_failure(source: CatalogSource, why: str) -> None:
    """The last good catalog stays; the page says since when, and why not newer."""
    source.checked_at = timezone.now()
    source.error = why
    source.save(update_fields=["checked_at", "error", "updated_at"])
    announce(
        "catalog", "catalog.changed", text=f"{source} could not be synced: {why}", pk=source.pk
    )
