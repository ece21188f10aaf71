"""What engines answer. Read with tolerance: unknown keys are left out, both key cases count.

Source: the HTTP contract of Audiobook Maker's engines (engine.yaml, version 2).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel


class Answer(BaseModel):
    """Keys in camelCase or as they are here; what else is there is left out."""

    model_config = ConfigDict(
        extra="ignore", alias_generator=to_camel, populate_by_name=True, protected_namespaces=()
    )


class Health(Answer):
    """How an engine is. It can be used when `status` is ready and a model is loaded."""

    status: str
    engine_model_loaded: bool = False
    current_engine_model: str | None = None
    device: str | None = None
    error: str | None = None
    package_version: str | None = None
    gpu_memory_used_mb: float | None = None
    gpu_memory_total_mb: float | None = None


class ModelField(Answer):
    """One more thing that an engine says of a model."""

    key: str
    value: Any = None
    field_type: str = "string"


class ModelRow(Answer):
    """One model that an engine can load."""

    name: str = Field(min_length=1, max_length=200)
    display_name: str | None = None
    languages: list[str] = []
    fields: list[ModelField] = []

    @field_validator("languages", "fields", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return value or []


class ModelList(Answer):
    """The answer of `/models`."""

    models: list[ModelRow] = []
    default_model: str | None = None
