"""The lab's own catalog: its images in the form that online catalogs have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lab.bundled_images import bundled_engines
from lab.made_engines import made_engines
from lab.place import Place

HEAD = "# Made by `python -m lab up`: the images in the lab's registry. Do not edit.\n"


def write(place: Place) -> Path:
    """Write `files/catalog.yaml`, which the lab serves as place.catalog_url."""
    file = place.files / "catalog.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = catalog_text(place)
    if not file.is_file() or file.read_text() != text:
        file.write_text(text)
    return file


def catalog_text(place: Place) -> str:
    """abm reads an image's name as the registry of the catalog and the name of the engine."""
    engines = [
        *(_bundled(engine.definition) for engine in bundled_engines()),
        *(engine.definition() for engine in made_engines(place)),
        _foreign(),
    ]
    head = {
        "catalog_version": "1.0",
        "min_app_version": "1.1.0",
        "registry": f"{place.registry}/lab",
    }
    return HEAD + yaml.safe_dump(
        {**head, "engines": engines}, sort_keys=False, allow_unicode=True, width=100
    )


def _bundled(definition: dict[str, Any]) -> dict[str, Any]:
    """The engine as its own file has it; the lab builds for one platform only."""
    variants = [{"tag": "latest", "platforms": ["linux/amd64"], "requires_gpu": False}]
    rest = {key: value for key, value in definition.items() if key != "schema_version"}
    return {**rest, "variants": variants}


def _foreign() -> dict[str, Any]:
    """Two forms of an image for another architecture, as lab.made_images pushes them."""
    variants = [
        {"tag": tag, "platforms": ["linux/arm64"], "requires_gpu": False}
        for tag in ("latest", "index")
    ]
    return {
        "name": "foreign-arch",
        "display_name": "Foreign architecture",
        "engine_type": "tts",
        "description": "Is made for arm64 and cannot run elsewhere. An engine of the test lab.",
        "variants": variants,
        "supported_languages": ["en"],
        "abm": {"version": "1.0.0"},
    }
