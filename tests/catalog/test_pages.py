"""The catalog's pages: cards, filters, details, sources."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from catalog import services
from catalog.models import CatalogSource
from catalog.queries import ENTRIES_PER_PAGE
from engines.models import Engine
from tests.catalog.factories import list_engines, make_entry, make_source
from tests.catalog.reading_pages import names_on, page_of
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import HTMX

pytestmark = pytest.mark.django_db


class TestCards:
    def test_the_four_that_come_with_abm_say_what_they_are(self, operator: Client) -> None:
        services.ensure_sources()

        page = page_of(operator)

        assert page.count('class="card"') == 4
        assert page.count("small, runs anywhere") == 4
        assert page.count("Install<span") == 4
        assert page.count("Languages</dt>") == 4
        for words in ("eSpeak NG", "0.1.0", "English", "Licence", "Download", "On disk"):
            assert words in page, words

    def test_a_large_one_says_what_it_needs(self, viewer: Client, seed: CatalogSource) -> None:
        page = page_of(viewer, "/catalog/?q=vibevoice")

        for words in ("VibeVoice", "a GPU</dd>", "Docker image", "VRAM from", "3.0 GB", "MIT"):
            assert words in page, words

    def test_one_that_runs_either_way_says_so(self, viewer: Client, seed: CatalogSource) -> None:
        assert "a GPU or none, by variant</dd>" in page_of(viewer, "/catalog/?q=whisper")

    def test_a_viewer_has_nothing_to_press(self, viewer: Client) -> None:
        make_entry()

        page = page_of(viewer)

        assert "Tiny" in page
        assert "Install<" not in page
        assert "Sync<" not in page

    def test_the_card_says_where_it_is_installed(self, viewer: Client) -> None:
        variant = make_entry().variants.get()
        host = make_host(display_name="gpu-box")
        make_engine(variant=variant, host=host, state=Engine.State.RUNNING)
        make_engine(variant=variant, host=make_host(display_name="nas"), state=Engine.State.ABSENT)

        page = page_of(viewer)

        assert "on gpu-box" in page
        assert "on nas" not in page

    def test_without_a_variant_there_is_nothing_to_install(self, operator: Client) -> None:
        make_entry().variants.all().delete()

        assert "Install<" not in page_of(operator)

    def test_text_of_strangers_is_escaped(self, operator: Client) -> None:
        entry = make_entry(
            display_name="<b>Bold</b>",
            description="<script>alert(1)</script>",
            upstream={"license": "<i>", "name": "<u>"},
            variants=[{"tag": "x"}],
            parameters={"a": {"type": "string", "default": "<q>", "label": "<em>"}},
        )
        entry.source.problems = ["<script>alert(2)</script>"]
        entry.source.error = "<script>alert(3)</script>"
        entry.source.save()

        for address in ("/catalog/", f"/catalog/{entry.pk}/"):
            page = page_of(operator, address)
            for raw in ("<b>Bold", "<script>alert", "<i>", "<em>", "<u>"):
                assert raw not in page.replace("<i hidden ws-send", ""), raw

    def test_what_is_withdrawn_is_not_offered(self, viewer: Client) -> None:
        entry = make_entry()
        list_engines(entry.source, {"name": "other", "display_name": "Other"})

        page = page_of(viewer)

        assert "Other" in page
        assert "Tiny" not in page

    def test_an_override_is_shown_and_marked(self, viewer: Client) -> None:
        entry = make_entry()
        services.set_override(entry, field="display_name", value="Better name", user=None)

        page = page_of(viewer)

        assert "Better name" in page
        assert "changed here" in page


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("type=text", "spacy debug-text"),
            ("type=video", "all"),
            ("gpu=no&type=stt", "whisper debug-stt"),
            ("gpu=yes", "xtts chatterbox vibevoice"),
            ("license=MPL-2.0", "xtts"),
            ("license=None", ""),
            ("q=WHISP", "whisper"),
            ("q=cloning", "xtts vibevoice"),
            ("language=zh-cn", "xtts"),
            ("language=hu", "xtts"),
            ('language="', ""),
            ("source=nonsense", "all"),
            ("source=999999999", ""),
            ("here=yes", ""),
            ("page=99", "all"),
            ("page=-1", "all"),
        ],
    )
    def test_each_narrows_the_cards(
        self, viewer: Client, seed: CatalogSource, query: str, found: str
    ) -> None:
        everything = set(seed.entries.values_list("name", flat=True))

        names = names_on(viewer, f"/catalog/?{query}")

        assert names == (everything if found == "all" else set(found.split()))

    def test_what_runs_as_a_process_runs_on_this_machine(self, viewer: Client) -> None:
        services.ensure_sources()
        make_entry()

        names = names_on(viewer, "/catalog/?here=yes")

        assert names == {"espeak-ng", "pocketsphinx", "pysbd", "silero-vad"}

    def test_filters_go_by_what_an_admin_said(self, viewer: Client) -> None:
        entry = make_entry(upstream={"license": "MIT"}, supported_languages=["en"])
        for field, value in (
            ("license", "GPL-3.0"),
            ("supported_languages", ["fr"]),
            ("display_name", "Elephant"),
        ):
            services.set_override(entry, field=field, value=value, user=None)

        for query, is_found in (
            ("license=GPL-3.0", True),
            ("license=MIT", False),
            ("language=fr", True),
            ("language=en", False),
            ("q=elephant", True),
        ):
            assert bool(names_on(viewer, f"/catalog/?{query}")) is is_found, query
        page = page_of(viewer)
        assert ">GPL-3.0</option>" in page
        assert ">French</option>" in page
        assert ">MIT</option>" not in page

    def test_the_form_shows_what_the_address_says(
        self, viewer: Client, seed: CatalogSource
    ) -> None:
        page = page_of(viewer, "/catalog/?type=stt&gpu=no")

        assert '<option value="stt" selected>' in page
        assert '<option value="no" selected>' in page

    def test_htmx_gets_the_cards_alone(self, viewer: Client, seed: CatalogSource) -> None:
        answer = viewer.get("/catalog/?type=stt", headers={**HTMX, "HX-Target": "catalog-cards"})

        html = answer.content.decode().strip()
        assert html.startswith('<div id="catalog-cards"')
        assert html.endswith("</div>")
        assert "<h1" not in html

    def test_filters_that_fit_nothing_can_be_cleared(
        self, viewer: Client, seed: CatalogSource
    ) -> None:
        page = page_of(viewer, "/catalog/?q=no-such-engine")

        assert "No engine fits these filters" in page
        assert "Clear filters" in page

    def test_an_empty_catalog_says_what_to_do(self, viewer: Client) -> None:
        assert "The catalog is empty" in page_of(viewer)


class TestManyEntries:
    def many(self, count: int) -> CatalogSource:
        source = make_source()
        rows = [{"name": f"engine-{number:04}"} for number in range(count)]
        list_engines(source, *rows)
        return source

    def test_pages_keep_the_filters(self, viewer: Client) -> None:
        self.many(ENTRIES_PER_PAGE + 5)

        first = page_of(viewer, "/catalog/?type=tts")
        second = names_on(viewer, "/catalog/?type=tts&page=2")

        assert "?type=tts&amp;page=2" in first
        assert len(second) == 5

    @pytest.mark.parametrize("count", [3, 300])
    def test_the_number_of_queries_is_constant(
        self,
        viewer: Client,
        count: int,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        source = self.many(count)
        host = make_host()
        for entry in source.entries.all()[:3]:
            make_engine(variant=entry.variants.get(), host=host)

        with django_assert_max_num_queries(14):
            page_of(viewer)


class TestEntry:
    def test_it_shows_variants_models_parameters_and_limits(
        self, viewer: Client, seed: CatalogSource
    ) -> None:
        page = page_of(viewer, f"/catalog/{seed.entries.get(name='whisper').pk}/")

        for words in ("latest", "cpu", "linux/arm64", "not needed", "1550 MB", "default"):
            assert words in page, words

    def test_no_translation_key_is_shown(self, viewer: Client, seed: CatalogSource) -> None:
        for entry in seed.entries.all():
            page = page_of(viewer, f"/catalog/{entry.pk}/")
            shown = re.sub(r"<[^>]+>", " ", page)
            assert not re.search(r"\bsettings\.\w+", shown), entry

    def test_a_withdrawn_one_says_so_and_cannot_be_installed(self, operator: Client) -> None:
        entry = make_entry()
        list_engines(entry.source, {"name": "other"})

        page = page_of(operator, f"/catalog/{entry.pk}/")

        assert "no longer lists this engine" in page
        assert "Install</a>" not in page

    def test_one_of_a_source_that_is_off_says_so(self, operator: Client) -> None:
        entry = make_entry()
        CatalogSource.objects.update(is_enabled=False)

        page = page_of(operator, f"/catalog/{entry.pk}/")

        assert "is switched off" in page
        assert "Install</a>" not in page

    def test_an_unknown_one_is_404(self, viewer: Client) -> None:
        assert viewer.get("/catalog/999/").status_code == 404


@pytest.mark.parametrize("path", ["/catalog/", "/catalog/1/"])
def test_every_page_needs_a_login(path: str) -> None:
    answer = Client().get(path)

    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/accounts/login/")


def test_the_dialog_of_an_entry_without_variants_says_why(operator: Client) -> None:
    entry = make_entry()
    entry.variants.all().delete()

    answer = operator.get(f"/engines/choose/{entry.pk}/", headers=HTMX)

    assert answer.status_code == 409
    assert "has no variant to install" in answer.content.decode()
