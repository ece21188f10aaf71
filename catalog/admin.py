"""Editing the catalog: entries made here are edited whole, synced ones get overrides."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.asking import user_of
from catalog import services
from catalog.forms import EntryForm, SourceForm, VariantForm
from catalog.models import CatalogEntry, CatalogSource, Variant

NOT_OVERRIDABLE = ["name", "engine_type", "version", "upstream_name", "upstream_url", "folder"]


def _is_custom(entry: CatalogEntry | None) -> bool:
    return entry is None or entry.source.kind == CatalogSource.Kind.CUSTOM


class VariantInline(admin.TabularInline):  # type: ignore[type-arg]
    """Those of synced entries can be seen; the next sync would undo a change."""

    model = Variant
    form = VariantForm
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: CatalogEntry | None = None) -> bool:
        return _is_custom(obj)

    def has_change_permission(self, request: HttpRequest, obj: CatalogEntry | None = None) -> bool:
        return _is_custom(obj)

    def get_extra(self, request: HttpRequest, obj: CatalogEntry | None = None, **_: Any) -> int:
        return 1 if obj is None else 0

    has_delete_permission = has_change_permission


class ChangedHere(admin.SimpleListFilter):
    """Entries with an override."""

    title = "changed here"
    parameter_name = "changed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[CatalogEntry]
    ) -> QuerySet[CatalogEntry]:
        if self.value() == "yes":
            return queryset.exclude(overrides={})
        return queryset.filter(overrides={}) if self.value() == "no" else queryset


@admin.register(CatalogEntry)
class EntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A change of a synced entry is an override: it is marked, survives syncs, can be reset."""

    form = EntryForm
    inlines = [VariantInline]
    list_display = ["display", "name", "engine_type", "source", "changed_here", "is_withdrawn"]
    list_filter = ["source", "engine_type", ChangedHere, "is_withdrawn"]
    list_select_related = ["source"]
    search_fields = ["name", "display_name", "description"]
    actions = ["reset_to_source"]

    @admin.display(description="Name", ordering="display_name")
    def display(self, entry: CatalogEntry) -> str:
        return str(entry)

    @admin.display(description="Changed here")
    def changed_here(self, entry: CatalogEntry) -> str:
        return ", ".join(name.replace("_", " ") for name in entry.overrides) or "–"

    def get_readonly_fields(
        self, request: HttpRequest, obj: CatalogEntry | None = None
    ) -> list[str]:
        return [] if _is_custom(obj) else [*NOT_OVERRIDABLE, "source", "changed_here"]

    def has_delete_permission(self, request: HttpRequest, obj: CatalogEntry | None = None) -> bool:
        """A synced entry would come back; it is switched off with its source."""
        return super().has_delete_permission(request, obj) and _is_custom(obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without the deletion of many, which would not ask about each."""
        actions: dict[str, Any] = super().get_actions(request)
        return {name: action for name, action in actions.items() if name != "delete_selected"}

    def save_model(self, request: HttpRequest, obj: CatalogEntry, form: Any, change: bool) -> None:
        if not change:
            obj.source = CatalogSource.objects.get(name=services.CUSTOM)
        if _is_custom(obj):
            services.save_custom_entry(obj, user=user_of(request))
            return
        entry = CatalogEntry.objects.select_related("source").get(pk=obj.pk)
        for field in CatalogEntry.OVERRIDABLE:
            value = form.cleaned_data.get(field, entry.effective(field))
            if value != entry.effective(field):
                services.set_override(entry, field=field, value=value, user=user_of(request))

    @admin.action(description="Reset to the catalog's value")
    def reset_to_source(self, request: HttpRequest, queryset: QuerySet[CatalogEntry]) -> None:
        changed = [entry for entry in queryset if entry.overrides]
        for entry in changed:
            services.reset_override(entry, user=user_of(request))
        self.message_user(request, f"{len(changed)} of {len(queryset)} were changed and reset.")


@admin.register(CatalogSource)
class SourceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Adding or changing one asks for a sync."""

    form = SourceForm
    list_display = ["name", "kind", "url", "is_enabled", "synced_at", "error"]
    list_filter = ["kind", "is_enabled"]

    def get_readonly_fields(
        self, request: HttpRequest, obj: CatalogSource | None = None
    ) -> list[str]:
        if obj is None:
            return []
        shown = ["kind", "synced_at", "checked_at", "error"]
        return ["name", "url", *shown] if obj.name in services.BUILT_IN else shown

    def has_delete_permission(self, request: HttpRequest, obj: CatalogSource | None = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or obj.name not in services.BUILT_IN)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without the deletion of many, which would take the built-in ones along."""
        actions: dict[str, Any] = super().get_actions(request)
        return {name: action for name, action in actions.items() if name != "delete_selected"}

    def save_model(self, request: HttpRequest, obj: CatalogSource, form: Any, change: bool) -> None:
        services.save_source(obj, user=user_of(request))

    def delete_model(self, request: HttpRequest, obj: CatalogSource) -> None:
        services.remove_source(obj, user=user_of(request))
