"""What an admin may type into the catalog, checked as a catalog itself would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django import forms
from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticError

from catalog.definition import EngineDefinition, ImageName, VariantDefinition
from catalog.models import CatalogEntry, CatalogSource, Variant
from catalog.services import BUILT_IN, CUSTOM, check_source

SHAPES: dict[str, type] = {
    "supported_languages": list,
    "model_rows": list,
    "constraints": dict,
    "capabilities": dict,
    "parameters": dict,
}
PLACES = {"models": "model_rows", "upstream": "license"}
"""Where a fault of the definition is shown, if its name is not that of the column."""
HINTS = {
    "supported_languages": 'Codes in a list, such as ["en", "de"].',
    "model_rows": 'Such as [{"name": "base", "display_name": "Base", "size_mb": 74}].',
    "default_model": "The name of one of the models.",
    "constraints": 'Such as {"max_text_length": 5000} or {"max_audio_duration": 600}.',
    "capabilities": 'Such as {"supports_streaming": false}.',
    "parameters": 'Such as {"speed": {"type": "float", "default": 1, "min": 0.5, "max": 2}}.',
    "folder": "Where server.py lies on this machine; empty for a Docker image.",
}


LABELS = {"model_rows": "Models", "license": "Licence", "upstream_url": "Upstream address"}


class EntryForm(forms.ModelForm):  # type: ignore[type-arg]
    """Shows what counts; each fault stands at its field."""

    class Meta:
        model = CatalogEntry
        fields = [
            "name",
            "engine_type",
            *CatalogEntry.OVERRIDABLE,
            "version",
            "upstream_name",
            "upstream_url",
            "folder",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        entry = kwargs.get("instance")
        if entry is not None:
            kwargs["initial"] = {**entry.said, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.label = LABELS.get(name, field.label)
            field.help_text = HINTS.get(name, field.help_text)
            if name in SHAPES:
                field.empty_value = SHAPES[name]()  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        others = CatalogEntry.objects.filter(source__name=CUSTOM, name=name)
        if others.exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(f"There is an entry named {name} already.")
        return name

    def clean_folder(self) -> str:
        folder = str(self.cleaned_data["folder"])
        if folder and not (Path(folder).is_absolute() and (Path(folder) / "server.py").is_file()):
            raise forms.ValidationError(f"There is no server.py in {folder} on this machine.")
        return folder

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name, shape in SHAPES.items():
            if name in self.fields and name not in self.errors and cleaned.get(name) is None:
                cleaned[name] = shape()
        try:
            EngineDefinition.model_validate(self._definition(cleaned))
        except PydanticError as error:
            self._show(error)
        return cleaned

    def _definition(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """The entry as an engine.yaml would say it; what is not edited here counts as it is."""

        def value(name: str) -> Any:
            return cleaned[name] if name in cleaned else getattr(self.instance, name)

        values = {
            "name": value("name"),
            "engine_type": value("engine_type"),
            "display_name": value("display_name"),
            "description": value("description"),
            "supported_languages": value("supported_languages"),
            "models": value("model_rows"),
            "default_model": value("default_model"),
            "constraints": value("constraints"),
            "capabilities": value("capabilities"),
            "parameters": value("parameters"),
        }
        keys = {"name": "upstream_name", "url": "upstream_url", "license": "license"}
        return {**values, "upstream": {key: value(name) for key, name in keys.items()}}

    def _show(self, error: PydanticError) -> None:
        for fault in error.errors(include_url=False, include_context=False)[:20]:
            place = [str(part) for part in fault["loc"]]
            field = PLACES.get(place[0], place[0]) if place else ""
            if place[:2] in (["upstream", "url"], ["upstream", "name"]):
                field = f"upstream_{place[1]}"
            if field in self.errors:
                continue  # Django has said already what is wrong there
            inner = ".".join(place[1:]) if field != "license" else ""
            text = fault["msg"].removeprefix("Value error, ")
            self.add_error(
                field if field in self.fields else None, f"{inner}: {text}" if inner else text
            )


class VariantForm(forms.ModelForm):  # type: ignore[type-arg]
    """One installable form of a custom entry."""

    class Meta:
        model = Variant
        fields = ["tag", "image", "needs_gpu", "platforms", "download_bytes", "disk_bytes"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "platforms" in self.fields:
            self.fields["platforms"].help_text = 'Such as ["linux/amd64", "linux/arm64"].'

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "platforms" in self.fields and cleaned.get("platforms") is None:
            cleaned["platforms"] = []
        values = {"tag": cleaned.get("tag"), "platforms": cleaned.get("platforms")}
        for field, check in (("tag", VariantDefinition), ("image", ImageName)):
            value = values if field == "tag" else cleaned.get("image")
            if not value or field not in self.fields:
                continue
            try:
                TypeAdapter(check).validate_python(value)
            except PydanticError as error:
                fault = error.errors(include_url=False, include_context=False)[0]
                place = str(fault["loc"][0]) if fault["loc"] else field
                self.add_error(place, f"{fault['msg']}.")
        return cleaned


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A catalog to sync; built-in ones have their address from the settings."""

    class Meta:
        model = CatalogSource
        fields = ["name", "url", "is_enabled", "allows_private_addresses"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.instance.name in BUILT_IN and self.instance.pk:
            return cleaned
        name, url = (str(cleaned.get(key) or "").strip() for key in ("name", "url"))
        try:
            check_source(name=name, url=url)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        return {**cleaned, "name": name, "url": url}
