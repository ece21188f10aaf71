"""Editing the catalog: entries made here are edited whole, synced ones get overrides."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from pydantic import ValidationError as PydanticError

from catalog import services
from catalog.definition import EngineDefinition
from catalog.models import CatalogEntry, CatalogSource, Variant
from catalog.reading import reason_of

SHAPES: dict[str, type] = {
    "supported_languages": list,
    "model_rows": list,
    "constraints": dict,
    "capabilities": dict,
    "parameters": dict,
}
DEFINITION_KEYS = {"model_rows": "models"}


class EntryForm(forms.ModelForm):  # type: ignore[type-arg]
    """Shows what counts, checks it as a catalog would be checked."""

    class Meta:
        model = CatalogEntry
        fields = ["name", "engine_type", *CatalogEntry.OVERRIDABLE]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        entry = kwargs.get("instance")
        if entry is not None:
            kwargs["initial"] = {**entry.said, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        for name, shape in SHAPES.items():
            if name in self.fields:
                self.fields[name].empty_value = shape()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        entry = self.instance
        values: dict[str, Any] = {"name": cleaned.get("name", entry.name)}
        values["engine_type"] = cleaned.get("engine_type", entry.engine_type)
        for field in CatalogEntry.OVERRIDABLE:
            if field in SHAPES and cleaned.get(field) is None:
                cleaned[field] = SHAPES[field]()
            if field == "license":
                values["upstream"] = {"license": cleaned.get(field, "")}
            else:
                values[DEFINITION_KEYS.get(field, field)] = cleaned.get(field)
        try:
            EngineDefinition.model_validate(values)
        except PydanticError as error:
            raise forms.ValidationError(reason_of(error)) from error
        return cleaned


class VariantInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Variant
    extra = 0
    fields = ["tag", "image", "needs_gpu", "platforms", "is_withdrawn"]

    def has_add_permission(self, request: HttpRequest, obj: CatalogEntry | None = None) -> bool:
        return obj is None or _is_custom(obj)

    def has_change_permission(self, request: HttpRequest, obj: CatalogEntry | None = None) -> bool:
        return obj is None or _is_custom(obj)

    has_delete_permission = has_change_permission


def _is_custom(entry: CatalogEntry) -> bool:
    return entry.source.kind == CatalogSource.Kind.CUSTOM


@admin.register(CatalogEntry)
class EntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = EntryForm
    inlines = [VariantInline]
    list_display = ["display_name", "name", "engine_type", "source", "changed_here", "is_withdrawn"]
    list_filter = ["source", "engine_type", "is_withdrawn"]
    search_fields = ["name", "display_name", "description"]
    actions = ["reset_to_source"]

    @admin.display(description="Changed here")
    def changed_here(self, entry: CatalogEntry) -> str:
        return ", ".join(entry.overrides) or "–"

    def get_readonly_fields(
        self, request: HttpRequest, obj: CatalogEntry | None = None
    ) -> list[str]:
        return ["name", "engine_type", "changed_here"] if obj and not _is_custom(obj) else []

    def has_delete_permission(self, request: HttpRequest, obj: CatalogEntry | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or _is_custom(obj))

    def save_model(
        self, request: HttpRequest, obj: CatalogEntry, form: forms.ModelForm[Any], change: bool
    ) -> None:
        if not change:
            obj.source = CatalogSource.objects.get(name=services.CUSTOM)
            super().save_model(request, obj, form, change)
            return
        if _is_custom(obj):
            super().save_model(request, obj, form, change)
            return
        entry = CatalogEntry.objects.get(pk=obj.pk)
        for field in CatalogEntry.OVERRIDABLE:
            if field in form.cleaned_data and form.cleaned_data[field] != entry.effective(field):
                services.set_override(
                    entry,
                    field=field,
                    value=form.cleaned_data[field],
                    user=request.user,  # type: ignore[arg-type]
                )

    @admin.action(description="Take the source's word again")
    def reset_to_source(self, request: HttpRequest, queryset: QuerySet[CatalogEntry]) -> None:
        for entry in queryset:
            for field in list(entry.overrides):
                services.reset_override(entry, field=field, user=request.user)  # type: ignore[arg-type]


@admin.register(CatalogSource)
class SourceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "kind", "url", "is_enabled", "synced_at", "error"]
    fields = ["name", "url", "is_enabled", "allows_private_addresses"]

    def has_delete_permission(self, request: HttpRequest, obj: CatalogSource | None = None) -> bool:
        built_in = (services.BUNDLED, services.ONLINE, services.LOCAL, services.CUSTOM)
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or obj.name not in built_in)
