"""`GET /info` of an engine as a definition: the keys of engine.yaml, which are snake_case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEYS = {
    "schemaVersion": "schema_version",
    "name": "name",
    "displayName": "display_name",
    "engineType": "engine_type",
    "description": "description",
    "upstream": "upstream",
    "supportedLanguages": "supported_languages",
    "constraints": "constraints",
    "capabilities": "capabilities",
    "parameters": "parameters",
    "models": "models",
    "defaultModel": "default_model",
    "autoDiscoverModels": "auto_discover_models",
    "requiresGpu": "requires_gpu",
    "variants": "variants",
    "minAppVersion": "min_app_version",
}
"""Those of the document itself; what is inside `parameters` and the like has keys of its own."""
VARIANT_KEYS = {"requiresGpu": "requires_gpu"}
MODEL_KEYS = {"displayName": "display_name"}
NEEDED = ("name", "engine_type")


class NotAnEngine(Exception):
    """What `/info` said is no description of an engine; the text says what is missing."""


def as_definition(info: Any, *, tag: str, platform: str) -> dict[str, Any]:
    """The definition that `info` describes; `tag` and `platform` are of the image that said it.

    An image that does not name its own tag among its variants gets it. Raises NotAnEngine.
    """
    if not isinstance(info, dict):
        raise NotAnEngine("not with a description of an engine.")
    found = {
        name: info.get(camel, info.get(name))
        for camel, name in KEYS.items()
        if info.get(camel, info.get(name)) is not None
    }
    missing = [name for name in NEEDED if not isinstance(found.get(name), str) or not found[name]]
    if missing:
        raise NotAnEngine(f"says nothing of its {' and '.join(missing)}.")
    found.setdefault("display_name", found["name"])
    found["models"] = [_model(row) for row in _rows(found.get("models"))]
    variants = [_renamed(row, VARIANT_KEYS) for row in _rows(found.get("variants"))]
    if tag not in [variant.get("tag") for variant in variants]:
        needs_gpu = found.get("requires_gpu") is True
        variants.append({"tag": tag, "platforms": [platform], "requires_gpu": needs_gpu})
    return {**found, "variants": variants}


def _model(row: Mapping[str, Any]) -> dict[str, Any]:
    """What `metadata` holds stands beside the name in engine.yaml."""
    metadata = row.get("metadata")
    rest = {key: value for key, value in row.items() if key != "metadata"}
    return {**(metadata if isinstance(metadata, dict) else {}), **_renamed(rest, MODEL_KEYS)}


def _renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in row.items() if value is not None}


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
