"""The sources on the catalog's page: their age, their errors, sync, one more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from catalog.models import CatalogSource
from jobs.models import Job
from tests.catalog.factories import make_entry, make_source
from tests.catalog.reading_pages import page_of
from tests.pages.factories import HTMX, browser_of, make_user

pytestmark = pytest.mark.django_db


class TestSources:
    def test_an_error_stands_on_top_with_the_age_of_what_is_shown(self, viewer: Client) -> None:
        entry = make_entry()
        then = timezone.now() - timedelta(days=2)
        CatalogSource.objects.update(error="It is a web page.", synced_at=then)

        page = page_of(viewer)

        assert "a catalog could not be synced: It is a web page." in page
        assert f"{then:%Y-%m-%d %H:%M}" in page
        assert "What you see of it was read" in page
        assert page.index("could not be synced") < page.index(f'id="entry-{entry.pk}"')

    def test_a_source_that_was_never_read_says_so(self, viewer: Client) -> None:
        make_source(error="No answer.")

        assert "It was never read" in page_of(viewer)

    def test_entries_left_out_are_listed(self, viewer: Client) -> None:
        make_source(problems=["xtts: variants.0.tag: Input should be a valid string"])

        page = page_of(viewer)

        assert "1 left out" in page
        assert "variants.0.tag" in page

    def test_sync_answers_with_the_sources_and_the_job(self, operator: Client) -> None:
        source = make_source()

        answer = operator.post(f"/catalog/sources/{source.pk}/sync/", headers=HTMX)

        html = answer.content.decode()
        job = Job.objects.get()
        assert html.strip().startswith('<section id="catalog-sources"')
        assert f"/jobs/{job.pk}/" in html
        assert "Sync<" not in html

    def test_without_javascript_sync_leads_to_the_job(self, operator: Client) -> None:
        source = make_source()

        answer = operator.post(f"/catalog/sources/{source.pk}/sync/")

        assert answer["Location"] == f"/jobs/{Job.objects.get().pk}/"

    def test_a_viewer_may_not_sync(self, viewer: Client) -> None:
        source = make_source()

        answer = viewer.post(f"/catalog/sources/{source.pk}/sync/")

        assert answer.status_code == 403
        assert not Job.objects.exists()

    def test_an_admin_adds_a_catalog_on_the_page(self) -> None:
        client = browser_of(make_user("admin"))
        form = {"name": "mine", "url": "https://example.org/c.yaml"}

        answer = client.post("/catalog/sources/add/", form, follow=True)

        assert "mine was added" in answer.content.decode()
        assert CatalogSource.objects.get().name == "mine"

    def test_an_operator_may_not_add_one(self, operator: Client) -> None:
        answer = operator.post("/catalog/sources/add/", {"name": "a", "url": "https://a.example"})

        assert answer.status_code == 403
        assert "needs the role admin" in answer.content.decode()

    @pytest.mark.parametrize("url", ["", "file:///etc/passwd", "http://[::1"])
    def test_an_address_that_is_none_is_refused_kindly(self, url: str) -> None:
        client = browser_of(make_user("admin"))

        answer = client.post("/catalog/sources/add/", {"name": "mine", "url": url})

        assert answer.status_code == 400
        assert "address" in answer.content.decode()
