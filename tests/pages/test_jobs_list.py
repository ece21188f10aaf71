"""The list of jobs: what runs, what waits and why, what ended."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from jobs.queries import JOBS_PER_PAGE
from tests.engines.factories import make_engine
from tests.pages.factories import HTMX, make_job


def text_of(client: Client, address: str, **headers: str) -> str:
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_empty_list_says_what_makes_a_job(viewer: Client) -> None:
    assert "Nothing has been done yet" in text_of(viewer, "/jobs/")


def test_a_waiting_job_says_what_it_waits_for(viewer: Client) -> None:
    make_job("queued", waiting_for="2 other installs on this host")

    assert "Waits for 2 other installs on this host" in text_of(viewer, "/jobs/")


def test_waiting_jobs_stand_in_the_order_they_will_be_taken(viewer: Client) -> None:
    make_job("queued", subject="First")
    make_job("queued", subject="Second")

    page = text_of(viewer, "/jobs/")

    assert page.index("Install First") < page.index("Install Second")


def test_a_failed_job_shows_its_sentence_escaped(viewer: Client) -> None:
    make_job("failed", error="No room <b>left</b>. Free some.")

    assert "No room &lt;b&gt;left&lt;/b&gt;. Free some." in text_of(viewer, "/jobs/")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("status=open", {"Alpha", "Beta"}),
        ("status=running", {"Alpha"}),
        ("status=failed", {"Gamma"}),
        ("action=sync", {"Delta"}),
        ("q=alph", {"Alpha"}),
        ("q=broken+pipe", {"Gamma"}),
        ("status=nonsense&page=x", {"Alpha", "Beta", "Gamma", "Delta"}),
    ],
)
def test_the_list_is_narrowed_by_its_address(viewer: Client, query: str, shown: set[str]) -> None:
    make_job("running", subject="Alpha")
    make_job("queued", subject="Beta")
    make_job("failed", subject="Gamma", error="A broken pipe.")
    make_job("succeeded", subject="Delta", action="sync")

    page = text_of(viewer, f"/jobs/?{query}")

    names = {"Alpha", "Beta", "Gamma", "Delta"}
    assert {name for name in names if name in page.replace(f'value="{name}"', "")} == shown


def test_filters_that_find_nothing_offer_to_be_cleared(viewer: Client) -> None:
    make_job("running")

    assert "Clear filters" in text_of(viewer, "/jobs/?q=zzz")


def test_history_has_pages_and_running_jobs_stand_on_the_first(viewer: Client) -> None:
    make_job("running", subject="Runs now")
    for number in range(JOBS_PER_PAGE + 1):
        make_job("succeeded", subject=f"Old {number:03}")

    first, second = text_of(viewer, "/jobs/"), text_of(viewer, "/jobs/?page=2")

    assert "Runs now" in first
    assert f"Page 1 of 2, {JOBS_PER_PAGE + 1} jobs" in first
    assert "Old 000" not in first
    assert "Old 000" in second
    assert "Runs now" not in second


def test_htmx_gets_the_list_alone(viewer: Client) -> None:
    part = text_of(viewer, "/jobs/", **HTMX, **{"HX-Target": "job-list"})

    assert part.lstrip().startswith('<div id="job-list"')


def test_a_viewer_sees_no_buttons(viewer: Client, operator: Client) -> None:
    job = make_job("running")

    assert f"/jobs/{job.pk}/cancel/" not in text_of(viewer, "/jobs/")
    assert f"/jobs/{job.pk}/cancel/" in text_of(operator, "/jobs/")


def test_many_jobs_take_as_many_queries_as_few(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(40):
        engine = make_engine()
        make_job("running" if number % 2 else "failed", engine=engine, host=engine.host)

    with django_assert_max_num_queries(7):
        text_of(viewer, "/jobs/")
