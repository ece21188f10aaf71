"""Entries for images that came from elsewhere: built here, loaded, or found by a person.

Beside the columns of any entry, `extra` keeps by tag how an image was built (`recipes`) and which
host alone has it (`made_on`, a host's `host_id`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from catalog.definition import EngineDefinition
from catalog.models import CatalogEntry, CatalogSource, Variant
from catalog.services import CUSTOM
from jobs.events import announce


@dataclass(frozen=True, slots=True)
class CustomImage:
    """One image of an entry, as it is written to its variant. Sizes are bytes."""

    image: str
    """Without the tag."""
    tag: str
    platforms: tuple[str, ...] = ()
    needs_gpu: bool = False
    disk_bytes: int | None = None
    made_on: str = ""
    """The host that alone has it; empty for an image of a registry."""
    recipe: dict[str, Any] | None = None
    """How it is built anew."""


@transaction.atomic
def write_custom(
    definition: EngineDefinition, image: CustomImage, *, user: User | None, is_new: bool = False
) -> Variant:
    """Write an entry with this image; one of the same name made here gets it as a variant.

    `is_new` refuses that instead. No sync ever touches it. Raises Refused ENTRY_EXISTS.
    """
    require_role(user, User.Role.OPERATOR)
    source, _ = CatalogSource.objects.get_or_create(
        name=CUSTOM, defaults={"kind": CatalogSource.Kind.CUSTOM}
    )
    entry = source.entries.select_for_update().filter(name=definition.name).first()
    if entry is not None and is_new:
        raise Refused(
            "ENTRY_EXISTS",
            f"There is an entry named {definition.name} already ({entry}). Choose another name, or "
            "have an admin edit that one.",
            entry=entry.pk,
        )
    fields = definition.entry_fields()
    kept = entry.extra if entry else {}
    places = {key: dict(kept.get(key) or {}) for key in ("recipes", "made_on")}
    _set(places["recipes"], image.tag, image.recipe)
    _set(places["made_on"], image.tag, image.made_on)
    fields["extra"] = {**fields["extra"], **{key: row for key, row in places.items() if row}}
    values = {**fields, "is_withdrawn": False}
    entry, _ = CatalogEntry.objects.update_or_create(
        source=source, name=definition.name, defaults=values
    )
    variant = _write_variant(entry, image)
    announce("catalog", "catalog.changed", text=f"{entry} was added here", pk=source.pk)
    note("entry.add", entry, user=user, after={"image": image.image, "tag": image.tag})
    return variant


@transaction.atomic
def move_image(variant: Variant, *, image: str, tag: str) -> Variant:
    """Its image is in a registry now, under this name; it is pulled from there and built no more.

    Where the entry has a variant of that tag already, that one gets the image.
    """
    entry = CatalogEntry.objects.select_for_update().get(pk=variant.entry_id)
    moved = entry.variants.filter(tag=tag).first() or variant
    former = variant.tag
    if moved.pk != variant.pk:
        Variant.objects.filter(pk=variant.pk).update(is_withdrawn=True)
        moved.platforms, moved.needs_gpu = variant.platforms, variant.needs_gpu
    moved.image, moved.tag, moved.is_withdrawn = image, tag, False
    # What a registry says of it is asked anew.
    moved.measure_at, moved.measured_image, moved.measure_error = None, "", ""
    moved.save()
    for key in ("recipes", "made_on"):
        rows = dict(entry.extra.get(key) or {})
        for gone in (former, tag):
            rows.pop(gone, None)
        _set(entry.extra, key, rows)
    entry.save(update_fields=["extra", "updated_at"])
    announce(
        "catalog", "catalog.changed", text=f"{entry} is pulled from {image}", pk=entry.source_id
    )
    return moved


def _write_variant(entry: CatalogEntry, image: CustomImage) -> Variant:
    values: dict[str, Any] = {
        "image": image.image,
        "platforms": list(image.platforms),
        "needs_gpu": image.needs_gpu,
        "is_withdrawn": False,
    }
    if image.disk_bytes is not None:
        values["disk_bytes"] = image.disk_bytes
    return entry.variants.update_or_create(tag=image.tag, defaults=values)[0]


def _set(row: dict[str, Any], key: str, value: Any) -> None:
    if value:
        row[key] = value
    else:
        row.pop(key, None)
