"""The version of an engine: its image and the definition that came with it, without settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.utils import timezone

from engines.image_checks import answer_about, found_row, judge_engine
from engines.models import Engine
from engines.services import definition_of
from engines.spec import spec_of
from hosts.runners.base import EngineSpec, ImageState

FIELDS = ("image_id", "image_digest", "image_found", "definition", "content_hash", "version")
"""What changes with an update; everything else on the row is the user's or the host's."""
PREVIOUS = ("previous_image_id", "previous_image_digest", "previous")
DIGEST_SHOWN = 19


def version_of(engine: Engine) -> dict[str, Any]:
    """The version that a start would run now."""
    return {name: getattr(engine, name) for name in FIELDS}


def newer_version(engine: Engine, image: ImageState) -> dict[str, Any]:
    """The version of an image that was just pulled, and of the catalog as it is by now."""
    found = found_row(image, is_pulled=True)
    made: dict[str, Any] = {
        **version_of(engine),
        "image_id": image.id,
        "image_digest": "",
        "image_found": found,
    }
    variant = engine.variant
    if variant is None or variant.is_withdrawn or variant.entry.is_withdrawn:
        return made
    entry = variant.entry
    return {
        **made,
        "definition": definition_of(entry),
        "content_hash": entry.content_hash,
        "version": entry.version,
    }


def previous_of(engine: Engine) -> dict[str, Any]:
    """The way back from here."""
    return {name: getattr(engine, name) for name in PREVIOUS}


def as_previous(version: dict[str, Any]) -> dict[str, Any]:
    """A version as the way back from the next one."""
    return {
        "previous_image_id": version["image_id"],
        "previous_image_digest": version["image_digest"],
        "previous": version,
    }


NO_WAY_BACK: dict[str, Any] = {
    "previous_image_id": "",
    "previous_image_digest": "",
    "previous": {},
}


def put_version(engine: Engine, version: dict[str, Any], *, previous: dict[str, Any]) -> None:
    """Let the next start run `version`, and judge it by what its registry said last."""
    values = {**version, **previous}
    for name, value in values.items():
        setattr(engine, name, value)
    Engine.objects.filter(pk=engine.pk).update(**values, updated_at=timezone.now())
    judge_engine(engine, answer_about(engine))


def spec_of_newest(engine: Engine) -> EngineSpec:
    """The engine's spec for whatever its tag stands for on its host, not for the pinned image."""
    return spec_of_image(engine, "")


def spec_of_image(engine: Engine, image_id: str) -> EngineSpec:
    """The engine's spec with another image."""
    spec = spec_of(engine)
    if spec.container is None:
        return spec
    return replace(spec, container=replace(spec.container, image_id=image_id))


def name_of(version: dict[str, Any]) -> str:
    """A version in words: as its publisher numbers it and by its digest."""
    digest = version["image_digest"] or version["image_id"]
    return " ".join(part for part in (version["version"], f"({digest[:DIGEST_SHOWN]})") if part)
