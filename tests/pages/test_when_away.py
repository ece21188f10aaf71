"""The choice at a verb whether it waits for a host that is away: page, form and API."""

from __future__ import annotations

import pytest
from django.test import Client

from engines.models import Engine
from jobs.models import Job
from tests.api.conftest import program_of
from tests.engines.factories import make_away, make_engine, make_host
from tests.pages.factories import HTMX, make_user

pytestmark = pytest.mark.django_db


def engine_on_one_away(*, waits: bool = True) -> Engine:
    return make_engine(host=make_away(waits_while_away=waits), state=Engine.State.RUNNING)


@pytest.mark.parametrize(("waits", "word"), [(True, "wait"), (False, "fail")])
def test_the_page_offers_it_with_the_hosts_own_way_first(
    operator: Client, waits: bool, word: str
) -> None:
    engine = engine_on_one_away(waits=waits)

    page = operator.get(f"/engines/{engine.pk}/").content.decode()
    dialog = operator.get(f"/engines/{engine.pk}/uninstall/").content.decode()

    for text, place in ((page, "engine"), (dialog, "uninstall")):
        assert f'id="{place}-when-away"' in text
        assert f'<option value="{word}" selected>' in text
    assert 'hx-include="#engine-away"' in page


def test_where_the_host_is_there_it_is_not_offered(operator: Client) -> None:
    engine = make_engine(host=make_host())

    assert "not reachable" not in operator.get(f"/engines/{engine.pk}/").content.decode()


@pytest.mark.parametrize("verb", ["restart", "uninstall"])
def test_a_verb_takes_it_along(operator: Client, verb: str) -> None:
    engine = engine_on_one_away()

    operator.post(f"/engines/{engine.pk}/{verb}/", {"when_away": "fail"}, headers=HTMX)

    job = Job.objects.get()
    assert (job.action, job.params["when_away"], job.waits_while_away) == (verb, "fail", False)


def test_without_it_the_hosts_way_holds(operator: Client) -> None:
    operator.post(f"/engines/{engine_on_one_away().pk}/stop/", headers=HTMX)

    job = Job.objects.get()
    assert ("when_away" in job.params, job.waits_while_away) == (False, True)


def test_another_word_is_refused_in_a_sentence(operator: Client) -> None:
    path = f"/engines/{engine_on_one_away().pk}/stop/"

    answer = operator.post(path, {"when_away": "later"}, headers=HTMX)

    assert answer.status_code == 400
    assert "Choose wait or fail." in answer.content.decode()
    assert not Job.objects.exists()


class TestApi:
    def test_it_is_a_word_of_the_query(self) -> None:
        engine = engine_on_one_away(waits=False)
        program = program_of(make_user("operator"))

        answer = program.post(f"/api/engines/{engine.address}/restart?whenAway=wait")

        assert answer.status_code == 202
        assert Job.objects.get().waits_while_away

    def test_another_word_is_a_400(self) -> None:
        engine = engine_on_one_away()
        program = program_of(make_user("operator"))

        answer = program.post(f"/api/engines/{engine.address}/restart?whenAway=later")

        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("[WHEN_AWAY_INVALID]")
        assert not Job.objects.exists()
