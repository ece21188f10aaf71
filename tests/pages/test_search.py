"""One box over engines, hosts, catalog and jobs."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from abm.queries import FOUND_EACH
from engines.models import Engine
from tests.engines.factories import make_engine, make_host, make_variant
from tests.pages.factories import HTMX, make_job


def text_of(client: Client, query: str, **headers: str) -> str:
    answer = client.get("/search/", {"q": query}, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def test_every_kind_is_found_with_its_link(viewer: Client) -> None:
    host = make_host(display_name="Whisper box")
    engine = make_engine(display_name="Whisper small", host=host)
    entry = make_variant(name="whisper").entry
    job = make_job("failed", subject="Whisper small on Whisper box")

    page = text_of(viewer, "whisp")

    for link in (
        f"/hosts/{host.pk}/",
        f"/engines/{engine.pk}/",
        f"/catalog/{entry.pk}/",
        f"/jobs/{job.pk}/",
    ):
        assert f'href="{link}"' in page, link


def test_a_job_is_found_by_its_error(viewer: Client) -> None:
    job = make_job("failed", error="The port 8766 is taken.")

    assert f'href="/jobs/{job.pk}/"' in text_of(viewer, "8766")


def test_what_is_not_installed_is_not_found_as_an_engine(viewer: Client) -> None:
    engine = make_engine(state=Engine.State.ABSENT, display_name="Ghost")

    assert f"/engines/{engine.pk}/" not in text_of(viewer, "ghost")


@pytest.mark.parametrize("query", ["", "   ", "\x00"])
def test_nothing_asked_is_nothing_found(viewer: Client, query: str) -> None:
    make_host(display_name="nas")

    assert "are searched by name" in text_of(viewer, query)


def test_nothing_found_says_so_and_escapes_what_was_asked(viewer: Client) -> None:
    page = text_of(viewer, "<script>")

    assert "Nothing is found for “&lt;script&gt;”" in page
    assert "<script>" not in page.replace("<script src", "")


def test_htmx_gets_the_results_alone(viewer: Client) -> None:
    part = text_of(viewer, "x", **HTMX, **{"HX-Target": "found"})

    assert part.lstrip().startswith('<div id="found"')


def test_a_few_of_each_in_a_constant_number_of_queries(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(FOUND_EACH + 5):
        make_engine(display_name=f"Voice {number}")
        make_variant(name=f"voice-{number}")
        make_job("failed", subject=f"Voice {number}")

    with django_assert_max_num_queries(9):
        page = text_of(viewer, "voice")

    assert f"{3 * FOUND_EACH} found" in page
