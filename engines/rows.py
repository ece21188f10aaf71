"""The rows that mirror what an engine says it has."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from engines.contract import ModelList
from engines.models import Engine, EngineModel

SIZE_KEYS = ("size_mb", "sizeMb", "size", "model_size_mb")


@transaction.atomic
def write_models(engine: Engine, listing: ModelList) -> list[EngineModel]:
    """Bring the EngineModel rows in step with `/models`; the user's default stays if it can."""
    kept = EngineModel.objects.filter(engine=engine, is_default=True).first()
    names = [model.name for model in listing.models]
    EngineModel.objects.filter(engine=engine).exclude(name__in=names).delete()
    declared = {
        str(row.get("name")): row
        for row in engine.definition.get("models") or []
        if isinstance(row, dict)
    }
    for model in listing.models:
        fields = [field.model_dump(by_alias=True) for field in model.fields]
        EngineModel.objects.update_or_create(
            engine=engine,
            name=model.name,
            defaults={
                "display_name": model.display_name or "",
                "languages": model.languages,
                "fields": fields,
                "size_bytes": _size(declared.get(model.name, {}), fields),
                "discovered_at": timezone.now(),
            },
        )
    if kept is None or kept.name not in names:
        first = listing.default_model or engine.definition.get("default_model")
        wanted = first if first in names else (names[0] if names else "")
        EngineModel.objects.filter(engine=engine).update(is_default=False)
        EngineModel.objects.filter(engine=engine, name=wanted).update(is_default=True)
    return list(EngineModel.objects.filter(engine=engine))


def _size(declared: dict[str, Any], fields: list[dict[str, Any]]) -> int | None:
    """Bytes, from engine.yaml's `size_mb` or a field of that name; None when nobody says."""
    said = {str(field.get("key")): field.get("value") for field in fields}
    for key in SIZE_KEYS:
        for values in (declared, said):
            value = values.get(key)
            if isinstance(value, int | float):
                return int(value * 1_000_000)
    return None
