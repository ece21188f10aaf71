"""Catalogs and sources for tests; each takes only what the test talks about."""

from __future__ import annotations

import json
from typing import Any

from catalog.models import CatalogEntry, CatalogSource
from catalog.reading import read_catalog
from catalog.sync import write_reading

ENGINE: dict[str, Any] = {
    "name": "tiny",
    "display_name": "Tiny",
    "engine_type": "tts",
    "description": "Speaks.",
    "upstream": {"license": "MIT"},
    "supported_languages": ["en", "de"],
    "variants": [{"tag": "latest"}],
}


def catalog_of(*engines: dict[str, Any], **head: Any) -> bytes:
    """A catalog's text (JSON is YAML); each engine is ENGINE with other values."""
    rows = [{**ENGINE, **engine} for engine in engines]
    head = {"catalog_version": "1.0", "registry": "ghcr.io/example", **head}
    return json.dumps({**head, "engines": rows}).encode()


def make_source(name: str = "a catalog", **values: Any) -> CatalogSource:
    return CatalogSource.objects.create(
        name=name, **{"url": "https://example.org/catalog.yaml", **values}
    )


def list_engines(source: CatalogSource, *engines: dict[str, Any]) -> int:
    """Let the source list these engines now, as a sync would."""
    content = catalog_of(*engines)
    return write_reading(source, read_catalog(content, compatible_with="1.1.2"))


def make_entry(source: CatalogSource | None = None, **values: Any) -> CatalogEntry:
    source = source or make_source()
    list_engines(source, values)
    return source.entries.get(name=values.get("name", "tiny"))
