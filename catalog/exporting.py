"""An entry as a catalog of its own, for other machines and other people."""

from __future__ import annotations

from typing import Any

import yaml
from django.utils import timezone

from accounts.refused import Refused
from catalog.models import CatalogEntry


def catalog_of(entry: CatalogEntry) -> str:
    """A catalog.yaml with this one engine. A catalog names images `<registry>/<engine's name>`.

    Raises Refused NOT_PULLABLE or NOT_NAMEABLE for an entry whose images no catalog can name.
    """
    registry = _registry_of(entry)
    whole = {
        "catalog_version": "1.0",
        "min_app_version": "0",
        "registry": registry,
        "last_updated": timezone.now().date().isoformat(),
        "engines": [definition_of(entry)],
    }
    return str(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100))


def definition_of(entry: CatalogEntry) -> dict[str, Any]:
    """The entry in the keys of engine.yaml, with what an admin says instead of its source."""
    said, extra = entry.said, entry.extra
    upstream = {
        "name": entry.upstream_name,
        "url": entry.upstream_url,
        "license": said["license"],
    }
    document = {
        "schema_version": 2,
        "name": entry.name,
        "display_name": said["display_name"],
        "engine_type": entry.engine_type,
        "description": said["description"],
        "upstream": {key: value for key, value in upstream.items() if value},
        "variants": [
            {"tag": row.tag, "platforms": row.platforms, "requires_gpu": row.needs_gpu}
            for row in _variants(entry)
        ],
        "models": said["model_rows"],
        "default_model": said["default_model"],
        "auto_discover_models": extra.get("auto_discover_models") or None,
        "supported_languages": said["supported_languages"],
        "constraints": said["constraints"],
        "capabilities": said["capabilities"],
        "parameters": said["parameters"],
        "engine_config": extra.get("engine_config"),
        "abm": extra.get("abm"),
    }
    needed = {"upstream", "variants"}
    return {key: value for key, value in document.items() if value or key in needed}


def _variants(entry: CatalogEntry) -> list[Any]:
    return [row for row in entry.variants.all() if not row.is_withdrawn]


def _registry_of(entry: CatalogEntry) -> str:
    """What stands before the engine's name in the name of each of its images."""
    images = {str(row.image) for row in _variants(entry)}
    here = set(entry.extra.get("made_on") or {}) | set(entry.extra.get("recipes") or {})
    if not all(images) or not images or here & {row.tag for row in _variants(entry)}:
        raise Refused(
            "NOT_PULLABLE",
            f"{entry} has an image that is on one host alone, where nobody else can pull it. Push "
            "it to a registry first.",
        )
    registry, _, name = min(images).rpartition("/")
    if len(images) > 1 or name != entry.name or not registry:
        raise Refused(
            "NOT_NAMEABLE",
            f"A catalog can only name the image of {entry} where it is called …/{entry.name}; "
            f"it is called {min(images)}. Push it under such a name first.",
        )
    return registry
