"""The catalog's open pages: cards and sources change by themselves, filters are kept."""

from __future__ import annotations

import json

import pytest

from accounts.models import User
from catalog import services
from catalog.models import CatalogSource
from jobs.events import announce
from tests.catalog.factories import list_engines, make_source
from tests.pages.factories import make_user
from tests.pages.test_live import do, opened

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def viewer() -> User:
    return make_user("viewer")


@pytest.fixture
def source() -> CatalogSource:
    source = make_source()
    list_engines(
        source,
        {"display_name": "Speaker"},
        {"name": "hearer", "display_name": "Hearer", "engine_type": "stt"},
    )
    return source


async def test_a_page_that_opens_hears_what_changed_meanwhile(
    viewer: User, source: CatalogSource
) -> None:
    async with opened("/ws/catalog/", viewer) as page:
        assert "Speaker" in await page.part('id="catalog-cards"')
        assert "a catalog" in await page.part('id="catalog-sources"')


async def test_a_sync_draws_cards_sources_and_trouble(viewer: User, source: CatalogSource) -> None:
    async with opened("/ws/catalog/", viewer) as page:
        await page.settle()
        await do(list_engines, source, {"name": "newcomer", "display_name": "Newcomer"})

        said = await page.settle()

    for words in ("Newcomer", 'id="catalog-sources"', 'id="catalog-trouble"'):
        assert words in said, words
    assert "Hearer" not in said


async def test_the_press_on_sync_shows_on_every_page(viewer: User, source: CatalogSource) -> None:
    async with opened("/ws/catalog/", viewer) as page:
        await page.settle()
        await do(services.sync_source, source, user=None)

        assert "Waiting" in await page.part('id="catalog-sources"', "/jobs/")


async def test_the_filter_of_the_address_is_kept(viewer: User, source: CatalogSource) -> None:
    async with opened("/ws/catalog/?type=stt", viewer) as page:
        said = await page.part('id="catalog-cards"')

    assert "Hearer" in said
    assert "Speaker" not in said


async def test_a_filter_set_later_is_kept_by_the_next_change(
    viewer: User, source: CatalogSource
) -> None:
    async with opened("/ws/catalog/", viewer) as page:
        await page.settle()
        await page.socket.send_to(text_data=json.dumps({"narrowed": "type=stt&page=1"}))
        await page.settle()
        await do(announce, "catalog", "catalog.changed", pk=source.pk)

        said = await page.part('id="catalog-cards"')

    assert "Hearer" in said
    assert "Speaker" not in said


@pytest.mark.parametrize(
    "message",
    [
        "words",
        "[]",
        '{"narrowed": 7}',
        '{"narrowed": "page=x&type=%FF"}',
        "[" * 9_000,
        "x" * 20_000,
    ],
)
async def test_a_message_that_makes_no_sense_does_no_harm(
    viewer: User, source: CatalogSource, message: str
) -> None:
    async with opened("/ws/catalog/", viewer) as page:
        await page.settle()
        await page.socket.send_to(text_data=message)
        await do(announce, "catalog", "catalog.changed", pk=source.pk)

        assert "Speaker" in await page.part('id="catalog-cards"')
