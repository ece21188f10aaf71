"""What an engine says of itself (engine.yaml, version 2) and what a catalog lists.

Text must be text: a tag written as `1.10` is the number 1.1 by the time anybody reads it, so it is
refused with a hint instead of being guessed back. Keys that nobody knows are left out.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from catalog.extras import Extras, Text20, Text64, Text100, Text200, Text500, Text5000, WebAddress
from catalog.parameters import Parameter
from catalog.words import readable_label

MAX_ENGINES = 1000
MAX_DEFINITION_CHARACTERS = 200_000
TYPES = ("tts", "stt", "text", "audio")

Name = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]
Language = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[a-z]{2,3}(-[a-z0-9]{2,8}){0,2}$", to_lower=True),
]
Tag = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
Platform = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[a-z0-9]+/[a-z0-9]+(/v[0-9])?$")
]
ImageName = Annotated[
    str,
    StringConstraints(
        strict=True,
        max_length=255,
        pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
    ),
]
AppVersion = Annotated[
    str, StringConstraints(strict=True, pattern=r"^v?[0-9]{1,6}(\.[0-9]{1,6}){0,3}$")
]


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _flags_are_booleans(values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for key, value in values.items():
        if key.startswith("supports_") and not isinstance(value, bool):
            raise ValueError(f"{key} must be true or false")
    return values


def _limits_are_numbers(values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for key in ("max_text_length", "max_audio_duration"):
        value = values.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise ValueError(f"{key} must be a number above 0")
    return values


Languages = Annotated[list[Language], Field(max_length=300), AfterValidator(_unique)]
Capabilities = Annotated[
    dict[Text100, JsonValue], Field(max_length=50), AfterValidator(_flags_are_booleans)
]
Constraints = Annotated[
    dict[Text100, JsonValue], Field(max_length=50), AfterValidator(_limits_are_numbers)
]


class Upstream(BaseModel):
    """The project that an engine wraps."""

    name: Text200 = ""
    url: WebAddress = ""
    license: Text100 = ""


class VariantDefinition(BaseModel):
    """One installable form of an engine."""

    tag: Tag
    platforms: list[Platform] = Field(default=[], max_length=20)
    requires_gpu: bool = False


class ModelDefinition(BaseModel):
    """A model that an engine can load; more keys (size_mb, vram_gb, ...) are kept."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    name: Text200 = Field(min_length=1)
    display_name: Text200 = ""
    languages: Languages = []


class Installation(BaseModel):
    """How an engine is run as a process of this machine."""

    python_version: Text20 = ""
    venv_path: Text500 = ""
    requires_gpu: bool = False


class EngineDefinition(BaseModel):
    """One engine, as engine.yaml or an entry of a catalog describes it."""

    model_config = ConfigDict(title="engine.yaml, version 2, with abm's additions")

    schema_version: Literal[2] = 2
    name: Name
    display_name: Text100 = Field(min_length=1)
    engine_type: Literal["tts", "stt", "text", "audio"]
    description: Text5000 = ""
    upstream: Upstream = Upstream()
    variants: list[VariantDefinition] = Field(default=[], max_length=50)
    requires_gpu: bool = False
    models: list[ModelDefinition] = Field(default=[], max_length=500)
    default_model: Text200 = ""
    auto_discover_models: bool = False
    supported_languages: Languages = []
    constraints: Constraints = {}
    capabilities: Capabilities = {}
    parameters: dict[Text100, Parameter] = Field(default={}, max_length=100)
    engine_config: dict[str, JsonValue] = {}
    installation: Installation = Installation()
    min_app_version: AppVersion = "0"
    abm: Extras = Extras()

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, raw: Any) -> Any:
        """YAML's empty value reads as null, which means the same as leaving the key out."""
        if not isinstance(raw, dict):
            return raw
        if len(json.dumps(raw, default=str)) > MAX_DEFINITION_CHARACTERS:
            raise ValueError(f"is larger than {MAX_DEFINITION_CHARACTERS} characters")
        return {key: value for key, value in raw.items() if value is not None}

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        tags = [variant.tag for variant in self.variants]
        if len(set(tags)) < len(tags):
            raise ValueError("variants holds the same tag twice")
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError("models holds the same name twice")
        if self.default_model and names and self.default_model not in names:
            raise ValueError(f"default_model {self.default_model!r} is not one of models")
        if not self.variants:
            # The seed's own backend lets variants be absent, with one flag for the whole engine.
            self.variants = [VariantDefinition(tag="latest", requires_gpu=self.requires_gpu)]
        for name, options in self.abm.options.items():
            if name not in self.parameters:
                raise ValueError(f"abm.options names {name!r}, which is not one of parameters")
            fields = self.parameters[name].model_dump(exclude_unset=True)
            self.parameters[name] = Parameter.model_validate({**fields, "options": options})
        self.display_name = readable_label(self.display_name, self.name)
        self.parameters = {key: value.named(key) for key, value in self.parameters.items()}
        return self

    def entry_fields(self) -> dict[str, Any]:
        """The columns of a catalog entry and their values."""
        installation = self.installation.model_dump(exclude_defaults=True)
        return {
            "engine_type": self.engine_type,
            "display_name": self.display_name,
            "description": self.description,
            "version": self.abm.version,
            "upstream_name": self.upstream.name,
            "upstream_url": self.upstream.url,
            "license": self.upstream.license,
            "supported_languages": self.supported_languages,
            "constraints": self.constraints,
            "capabilities": self.capabilities,
            "parameters": {
                key: value.model_dump(exclude_unset=True) | {"label": value.label}
                for key, value in self.parameters.items()
            },
            "model_rows": [model.model_dump(exclude_defaults=True) for model in self.models],
            "default_model": self.default_model,
            "extra": {
                "abm": self.abm.model_dump(mode="json", exclude_defaults=True),
                "installation": installation,
                "auto_discover_models": self.auto_discover_models,
                "engine_config": self.engine_config,
            },
        }


class CatalogHead(BaseModel):
    """What a catalog says of itself, above its list of engines."""

    catalog_version: Text20 = "1.0"
    min_app_version: AppVersion = "0"
    registry: ImageName | Literal[""] = ""
    last_updated: Text64 = ""
    engines: list[Any] = Field(max_length=MAX_ENGINES)


def version_key(version: str) -> tuple[int, ...]:
    """A version such as `v1.1.2` as numbers that compare; `1.1` equals `1.1.0`."""
    numbers = [int(part) for part in version.lstrip("v").split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))


def engine_schema() -> dict[str, Any]:
    """The JSON Schema of engine.yaml for editors and authors, abm's own key included."""
    return EngineDefinition.model_json_schema()
