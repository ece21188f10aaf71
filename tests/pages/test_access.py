"""Every page of every app: who is not signed in sees none of them, every role sees all of these."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.engines.factories import make_engine
from tests.pages.factories import browser_of, make_job, make_user

PAGES = ["/", "/jobs/", "/jobs/{job}/", "/jobs/{job}/log/", "/hosts/", "/hosts/{host}/"]
PAGES += ["/search/", "/search/?q=x", "/settings/"]


@pytest.fixture
def rows(db: None) -> dict[str, int]:
    engine = make_engine()
    job = make_job("running", engine=engine, host=engine.host)
    return {"job": job.pk, "host": engine.host.pk}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_needs_a_login(client: Client, rows: dict[str, int], page: str) -> None:
    answer = client.get(page.format(**rows))

    assert answer.status_code == 302
    assert "/login/" in answer["Location"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_every_role_sees_it(rows: dict[str, int], page: str, role: str) -> None:
    assert browser_of(make_user(role)).get(page.format(**rows)).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_not_posted_to(operator: Client, rows: dict[str, int], page: str) -> None:
    assert operator.post(page.format(**rows)).status_code == 405
