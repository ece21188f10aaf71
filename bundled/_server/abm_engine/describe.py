"""engine.yaml as /info and /models tell it: camelCase keys."""

from __future__ import annotations

from typing import Any

OWN_KEYS = {"name", "display_name", "languages", "path"}


def info_of(definition: dict[str, Any]) -> dict[str, Any]:
    variants = definition.get("variants") or []
    return {
        "schemaVersion": 2,
        "name": definition["name"],
        "displayName": definition["display_name"],
        "engineType": definition["engine_type"],
        "description": definition.get("description"),
        "upstream": definition.get("upstream"),
        "supportedLanguages": definition.get("supported_languages") or [],
        "constraints": definition.get("constraints") or {},
        "capabilities": definition.get("capabilities") or {},
        "parameters": definition.get("parameters") or {},
        "models": [
            {
                "name": model["name"],
                "displayName": model.get("display_name", model["name"]),
                "metadata": {key: value for key, value in model.items() if key not in OWN_KEYS},
            }
            for model in definition.get("models") or []
        ],
        "defaultModel": definition.get("default_model"),
        "autoDiscoverModels": bool(definition.get("auto_discover_models")),
        "requiresGpu": any(variant.get("requires_gpu") for variant in variants),
        "variants": [
            {
                "tag": variant["tag"],
                "platforms": variant.get("platforms") or [],
                "requiresGpu": bool(variant.get("requires_gpu")),
            }
            for variant in variants
        ],
    }


def models_of(definition: dict[str, Any]) -> dict[str, Any]:
    languages = definition.get("supported_languages") or []
    return {
        "models": [
            {
                "name": model["name"],
                "displayName": model.get("display_name", model["name"]),
                "languages": model.get("languages") or languages,
                "fields": [
                    {"key": key, "value": value, "fieldType": _kind(value)}
                    for key, value in model.items()
                    if key not in OWN_KEYS
                ],
            }
            for model in definition.get("models") or []
        ],
        "defaultModel": definition.get("default_model"),
        "device": "cpu",
    }


def _kind(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if is_number else "string"
