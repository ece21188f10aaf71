"""Editing the catalog in Django's admin: overrides, entries of one's own, sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.refused import Refused
from catalog import services
from catalog.models import CatalogEntry, CatalogSource
from tests.catalog.factories import list_engines, make_entry, make_source
from tests.pages.factories import browser_of, make_user

pytestmark = pytest.mark.django_db

JSON_FIELDS = ("supported_languages", "constraints", "capabilities", "parameters", "model_rows")
NEW = "/catalog/catalogentry/add/"


@pytest.fixture
def admin() -> Client:
    return browser_of(make_user("admin"))


@pytest.fixture
def custom() -> CatalogSource:
    return make_source("custom", kind=CatalogSource.Kind.CUSTOM, url="")


def at(path: str) -> str:
    return f"/admin{path}"


def form_of(entry: CatalogEntry | None = None, **values: Any) -> dict[str, Any]:
    """The form of an entry as the page shows it, with other values."""
    said = entry.said if entry is not None else {name: [] for name in ("supported_languages",)}
    shown = {name: said.get(name, "") for name in CatalogEntry.OVERRIDABLE}
    shown = {**shown, **values}
    form = {
        name: json.dumps(value) if name in JSON_FIELDS and not isinstance(value, str) else value
        for name, value in shown.items()
    }
    management = {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0}
    return {**form, **{f"variants-{key}": value for key, value in management.items()}}


def save(client: Client, entry: CatalogEntry, **values: Any) -> str:
    """Save the entry's form; what the page says is wrong, or nothing."""
    answer = client.post(
        at(f"/catalog/catalogentry/{entry.pk}/change/"), form_of(entry, **values), follow=False
    )
    if answer.status_code == 302:
        return ""
    return "\n".join(
        message
        for form in [answer.context["adminform"].form]
        for name, messages in form.errors.items()
        for message in [f"{name}: {text}" for text in messages]
    )


class TestOverride:
    def test_a_field_edited_here_is_an_override_and_is_marked(self, admin: Client) -> None:
        entry = make_entry(upstream={"license": "MIT"})

        assert save(admin, entry, license="GPL-3.0", supported_languages=["en"]) == ""

        entry.refresh_from_db()
        assert entry.overrides == {"license": "GPL-3.0", "supported_languages": ["en"]}
        assert (entry.license, entry.effective("license")) == ("MIT", "GPL-3.0")
        page = admin.get(at("/catalog/catalogentry/")).content.decode()
        assert "supported languages" in page

    def test_saving_without_a_change_overrides_nothing(self, admin: Client) -> None:
        entry = make_entry(parameters={"speed": {"type": "float", "default": 1}})

        assert save(admin, entry) == ""

        entry.refresh_from_db()
        assert entry.overrides == {}

    def test_the_form_shows_the_override_and_it_can_be_edited_again(self, admin: Client) -> None:
        entry = make_entry()
        save(admin, entry, license="GPL-3.0")
        entry.refresh_from_db()

        page = admin.get(at(f"/catalog/catalogentry/{entry.pk}/change/")).content.decode()
        assert "GPL-3.0" in page
        save(admin, entry, license="BSD")

        entry.refresh_from_db()
        assert entry.overrides == {"license": "BSD"}

    def test_the_sources_own_value_ends_the_override(self, admin: Client) -> None:
        entry = make_entry(upstream={"license": "MIT"})
        save(admin, entry, license="GPL-3.0")
        entry.refresh_from_db()

        save(admin, entry, license="MIT")

        entry.refresh_from_db()
        assert entry.overrides == {}

    def test_an_override_survives_a_sync_and_reset_takes_the_newest_word(
        self, admin: Client
    ) -> None:
        entry = make_entry(upstream={"license": "MIT"})
        save(admin, entry, license="GPL-3.0")
        list_engines(entry.source, {"upstream": {"license": "Apache-2.0"}})
        entry.refresh_from_db()
        assert entry.effective("license") == "GPL-3.0"

        admin.post(
            at("/catalog/catalogentry/"),
            {"action": "reset_to_source", "_selected_action": [entry.pk]},
        )

        entry.refresh_from_db()
        assert (entry.overrides, entry.effective("license")) == ({}, "Apache-2.0")

    def test_one_field_can_be_reset_alone(self) -> None:
        entry = make_entry()
        for field in ("license", "description"):
            services.set_override(entry, field=field, value="other", user=None)

        services.reset_override(entry, field="license", user=None)

        entry.refresh_from_db()
        assert entry.overrides == {"description": "other"}

    def test_the_list_can_be_narrowed_to_what_was_changed(self, admin: Client) -> None:
        source = make_source()
        list_engines(source, {"name": "plain"}, {"name": "changed"})
        changed = source.entries.get(name="changed")
        services.set_override(changed, field="license", value="BSD", user=None)

        answer = admin.get(at("/catalog/catalogentry/?changed=yes"))

        assert [entry.name for entry in answer.context["cl"].queryset] == ["changed"]

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"display_name": ""}, "display_name: This field is required"),
            ({"supported_languages": ["english please"]}, "supported_languages: 0:"),
            ({"supported_languages": {"en": 1}}, "supported_languages: Input should be a valid li"),
            ({"parameters": {"a": {"type": "number", "default": 1}}}, "parameters: a.type"),
            ({"parameters": {"a": {"type": "int", "default": "x"}}}, "must be a whole number"),
            ({"parameters": "{"}, "parameters: Enter a valid JSON"),
            ({"constraints": {"max_text_length": -1}}, "max_text_length must be a number above 0"),
            ({"model_rows": [{"size_mb": 1}]}, "model_rows: 0.name"),
            ({"model_rows": [{"name": "a"}], "default_model": "b"}, "default_model 'b' is not one"),
        ],
    )
    def test_nonsense_is_refused_at_its_field(
        self, admin: Client, values: dict[str, Any], words: str
    ) -> None:
        entry = make_entry()

        said = save(admin, entry, **values)

        assert words in said
        entry.refresh_from_db()
        assert entry.overrides == {}

    def test_a_synced_entry_cannot_be_deleted(self, admin: Client) -> None:
        entry = make_entry()

        answer = admin.post(at(f"/catalog/catalogentry/{entry.pk}/delete/"), {"post": "yes"})

        assert answer.status_code == 403

    def test_only_an_admin_may_override(self) -> None:
        entry = make_entry()

        for change in (
            lambda user: services.set_override(entry, field="license", value="x", user=user),
            lambda user: services.reset_override(entry, user=user),
        ):
            with pytest.raises(Refused, match="needs the role admin"):
                change(make_user("operator", f"olga-{change.__code__.co_firstlineno}"))

    def test_what_identifies_an_entry_cannot_be_overridden(self) -> None:
        with pytest.raises(Refused, match="cannot be overridden"):
            services.set_override(make_entry(), field="name", value="x", user=None)


class TestCustom:
    def post(self, client: Client, **values: Any) -> Any:
        form = {
            **form_of(display_name="Mine", name="mine", engine_type="tts"),
            "variants-TOTAL_FORMS": 1,
            "variants-0-tag": "latest",
            "variants-0-image": "ghcr.io/olga/mine",
            "variants-0-platforms": '["linux/amd64"]',
            "name": "mine",
            "engine_type": "tts",
            **values,
        }
        return client.post(at(NEW), form)

    def test_an_entry_of_ones_own_is_made_with_its_variant(
        self, admin: Client, custom: CatalogSource
    ) -> None:
        answer = self.post(admin)

        assert answer.status_code == 302
        entry = CatalogEntry.objects.get()
        assert (entry.source, entry.name) == (custom, "mine")
        variant = entry.variants.get()
        assert (variant.image, variant.platforms) == ("ghcr.io/olga/mine", ["linux/amd64"])
        page = admin.get("/catalog/").content.decode()
        assert "Mine" in page

    def test_it_is_edited_whole_without_overrides(
        self, admin: Client, custom: CatalogSource, tmp_path: Path
    ) -> None:
        self.post(admin)
        entry = CatalogEntry.objects.get()
        (tmp_path / "server.py").write_text("")

        said = save(
            admin, entry, name="ours", engine_type="stt", license="MIT", folder=str(tmp_path)
        )

        assert said == ""
        entry.refresh_from_db()
        assert (entry.name, entry.engine_type, entry.license) == ("ours", "stt", "MIT")
        assert (entry.overrides, entry.folder) == ({}, str(tmp_path))
        assert len(entry.content_hash) == 64

    def test_it_can_be_deleted(self, admin: Client, custom: CatalogSource) -> None:
        self.post(admin)
        pk = CatalogEntry.objects.get().pk

        admin.post(at(f"/catalog/catalogentry/{pk}/delete/"), {"post": "yes"})

        assert not CatalogEntry.objects.exists()

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"name": "Not a name"}, "should match pattern"),
            ({"engine_type": "video"}, "Select a valid choice"),
            ({"upstream_url": "javascript:alert(1)"}, "begins with http"),
            ({"folder": "/no/such/folder"}, "no server.py in /no/such/folder"),
            ({"variants-0-tag": "a b"}, "should match pattern"),
            ({"variants-0-image": "Not An Image"}, "should match pattern"),
            ({"variants-0-platforms": '"amd64"'}, "should be a valid list"),
        ],
    )
    def test_nonsense_is_refused(
        self, admin: Client, custom: CatalogSource, values: dict[str, str], words: str
    ) -> None:
        answer = self.post(admin, **values)

        assert answer.status_code == 200
        assert words in answer.content.decode()
        assert not CatalogEntry.objects.exists()

    def test_a_name_is_taken_once(self, admin: Client, custom: CatalogSource) -> None:
        self.post(admin)

        answer = self.post(admin)

        assert "There is an entry named mine already." in answer.content.decode()


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_the_editor_is_for_admins(role: str) -> None:
    client = browser_of(make_user(role))

    for path in ("/catalog/catalogentry/", "/catalog/catalogsource/", NEW):
        assert client.get(at(path), follow=True).status_code == 403
