"""The form that makes an image an entry of the catalog, filled in by what the image said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from pydantic import ValidationError

from catalog.definition import EngineDefinition
from catalog.models import EngineType
from engines.sources.forms import ImageField
from hosts.oci.reference import ImageReference

PLACES = {
    ("variants",): "image",
    ("supported_languages",): "languages",
    ("upstream", "license"): "license",
    ("abm", "port"): "port",
    ("abm", "health", "path"): "health_path",
    ("abm", "health", "expect"): "expect",
    ("abm", "health", "start_seconds"): "start_seconds",
    ("abm", "page"): "page",
}
"""Where a fault of the definition is shown, if its name is not that of the field."""


class RegisterForm(forms.Form):
    """An entry of the catalog for an image."""

    image = ImageField()
    name = forms.CharField(
        max_length=64, help_text="Small letters, digits and hyphens, such as my-voice."
    )
    display_name = forms.CharField(max_length=100, label="Name for people")
    engine_type = forms.ChoiceField(choices=EngineType.choices, label="Type")
    description = forms.CharField(
        required=False, max_length=5_000, widget=forms.Textarea(attrs={"rows": 3})
    )
    languages = forms.CharField(
        required=False, max_length=2_000, help_text="Codes with commas between them: en, de."
    )
    license = forms.CharField(required=False, max_length=100, label="Licence")
    needs_gpu = forms.BooleanField(required=False, label="It needs a GPU")
    speaks_contract = forms.BooleanField(
        required=False,
        label="It speaks as abm's engines do",
        help_text="Off: abm starts, watches and updates it, and cannot use it.",
    )
    port = forms.IntegerField(
        initial=8766, min_value=1, max_value=65_535, help_text="Where it listens inside."
    )
    health_path = forms.CharField(
        initial="/health",
        max_length=200,
        label="Path that says it is well",
        help_text="It answers with status 200 there when it can be used.",
    )
    expect = forms.CharField(required=False, max_length=200, label="Words that a good answer holds")
    start_seconds = forms.IntegerField(
        required=False, min_value=1, max_value=86_400, label="Longest start, in seconds"
    )
    page = forms.CharField(
        required=False, max_length=200, label="Path of its own web page", help_text="Such as /."
    )

    def definition(self, found: Mapping[str, Any]) -> EngineDefinition | None:
        """The form over what the image said of itself; None when a fault was added."""
        data = self.cleaned_data
        extras = dict(found.get("abm") or {})
        health = {**(extras.get("health") or {}), "path": data["health_path"]}
        health |= {"expect": data["expect"], "start_seconds": data["start_seconds"]}
        extras |= {
            "port": data["port"],
            "page": data["page"],
            "speaks_contract": data["speaks_contract"],
            "health": health,
        }
        tag = ImageReference.parse(data["image"]).tag
        raw = {
            **found,
            **{key: data[key] for key in ("name", "display_name", "engine_type", "description")},
            "supported_languages": re.split(r"[\s,]+", data["languages"].strip(", \n")),
            "upstream": {**(found.get("upstream") or {}), "license": data["license"]},
            "variants": [{"tag": tag, "requires_gpu": data["needs_gpu"]}],
            "abm": extras,
        }
        if not data["languages"].strip(", \n"):
            raw["supported_languages"] = []
        try:
            return EngineDefinition.model_validate(raw)
        except ValidationError as error:
            self._show(error)
            return None

    def _show(self, error: ValidationError) -> None:
        for fault in error.errors(include_url=False, include_context=False)[:20]:
            place = tuple(str(part) for part in fault["loc"] if not isinstance(part, int))
            field = PLACES.get(place) or PLACES.get(place[:1]) or (place[0] if place else "")
            text = fault["msg"].removeprefix("Value error, ")
            is_here = field in self.fields
            words = f"{text}." if is_here else f"{'.'.join(place)}: {text}."
            self.add_error(field if is_here else None, words)


def registering(found: Mapping[str, Any], image: str) -> dict[str, Any]:
    """What the form begins with, of what the image said of itself."""
    extras = found.get("abm") or {}
    health = extras.get("health") or {}
    variants = {row.get("tag"): row for row in found.get("variants") or []}
    tag = image.rpartition(":")[2]
    needs = (variants.get(tag) or {}).get("requires_gpu") or found.get("requires_gpu")
    return {
        "image": image,
        "name": found.get("name", ""),
        "display_name": found.get("display_name", ""),
        "engine_type": found.get("engine_type", ""),
        "description": found.get("description", ""),
        "languages": ", ".join(found.get("supported_languages") or []),
        "license": (found.get("upstream") or {}).get("license", ""),
        "needs_gpu": bool(needs),
        "speaks_contract": bool(found) and extras.get("speaks_contract", True),
        "port": extras.get("port", 8766),
        "health_path": health.get("path", "/health"),
        "expect": health.get("expect", ""),
        "start_seconds": health.get("start_seconds"),
        "page": extras.get("page", ""),
    }
