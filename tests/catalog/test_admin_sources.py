"""Editing sources in Django's admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from catalog import services
from catalog.models import CatalogSource
from jobs.models import Job
from tests.catalog.factories import make_entry, make_source
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


class TestSources:
    def post(self, client: Client, path: str = "add/", **values: str) -> Any:
        form = {"name": "mine", "url": "https://example.org/c.yaml", "is_enabled": "on", **values}
        return client.post(at(f"/catalog/catalogsource/{path}"), form)

    def test_a_new_one_is_synced(self, admin: Client) -> None:
        answer = self.post(admin)

        assert answer.status_code == 302
        source = CatalogSource.objects.get(name="mine")
        assert source.kind == CatalogSource.Kind.ONLINE
        assert Job.objects.get().params == {"source": source.pk}

    def test_another_address_forgets_the_marks_of_the_old_one(self, admin: Client) -> None:
        source = make_source("mine", etag='"1"', last_modified="yesterday")

        self.post(admin, f"{source.pk}/change/", url="https://other.example/c.yaml")

        source.refresh_from_db()
        assert (source.url, source.etag) == ("https://other.example/c.yaml", "")

    def test_switched_off_its_engines_are_not_offered(self, admin: Client) -> None:
        source = make_entry(make_source("mine")).source

        self.post(admin, f"{source.pk}/change/", is_enabled="")

        assert "Tiny" not in admin.get("/catalog/").content.decode()

    @pytest.mark.parametrize("url", ["file:///etc/passwd", "http://[::1", "", "catalog.yaml"])
    def test_what_is_no_address_is_refused(self, admin: Client, url: str) -> None:
        answer = self.post(admin, url=url)

        assert answer.status_code == 200
        assert not CatalogSource.objects.exists()

    def test_a_built_in_one_keeps_its_name_and_address(self, admin: Client) -> None:
        source = make_source(services.ONLINE)

        answer = self.post(admin, f"{source.pk}/change/", is_enabled="")

        assert answer.status_code == 302
        source.refresh_from_db()
        assert (source.name, source.url) == (services.ONLINE, "https://example.org/catalog.yaml")
        assert not source.is_enabled

    def test_a_built_in_one_cannot_be_deleted(self, admin: Client) -> None:
        source = make_source(services.ONLINE)

        answer = admin.post(at(f"/catalog/catalogsource/{source.pk}/delete/"), {"post": "yes"})

        assert answer.status_code == 403
