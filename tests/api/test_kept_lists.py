"""Lists asked for again and again: answered by one look into the database, and never wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from abm.api import LISTS
from accounts.models import ApiToken, User
from jobs import events
from tests.api.conftest import Program
from tests.engines.factories import make_host

pytestmark = pytest.mark.django_db
HOSTS = "/api/engine-hosts"


def asked(program: Program, path: str = HOSTS, **headers: str) -> tuple[Any, int]:
    """The answer, and how many queries it took."""
    with CaptureQueriesContext(connection) as queries:
        answer = program.get(path, **headers)
    return answer, len(queries)


@pytest.mark.parametrize("name", sorted(LISTS))
def test_what_was_asked_before_is_the_same_answer_by_one_query(program: Program, name: str) -> None:
    first, many = asked(program, f"/api/{name}")
    again, few = asked(program, f"/api/{name}")

    assert many > 1
    assert few == 1
    assert again.content == first.content
    theirs = {**first.headers, "X-Request-ID": ""}
    assert {**again.headers, "X-Request-ID": ""} == theirs
    assert "Content-Security-Policy" in theirs


def test_it_is_packed_or_left_out_for_who_can_do_with_that(program: Program) -> None:
    for number in range(9):
        make_host(host_id=f"docker:{number:08}", display_name="x" * 99)
    etag = program.get(HOSTS)["ETag"]

    packed, queries = asked(program, **{"Accept-Encoding": "gzip"})
    known, others = asked(program, **{"If-None-Match": etag})

    assert (queries, others) == (1, 1)
    assert packed["Content-Encoding"] == "gzip"
    assert (known.status_code, known.content) == (304, b"")


def test_a_change_is_in_the_next_answer(program: Program) -> None:
    program.get(HOSTS)
    make_host(host_id="docker:0badcafe")
    events.announce("hosts", "host.created")

    assert b"docker:0badcafe" in program.get(HOSTS).content


@pytest.mark.parametrize("ending", ["revoked", "expired", "switched off"])
def test_a_token_that_has_ended_gets_nothing_more(program: Program, ending: str) -> None:
    assert program.get(HOSTS).status_code == 200
    assert asked(program)[1] == 1
    if ending == "revoked":
        ApiToken.objects.all().delete()
    elif ending == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    else:
        User.objects.update(is_active=False)

    assert program.get(HOSTS).status_code == 401


def test_nobody_gets_what_was_kept_for_another_role(program: Program) -> None:
    program.get(HOSTS)
    assert asked(program)[1] == 1
    User.objects.update(role="viewer")

    assert asked(program)[1] > 1
    assert asked(program)[1] == 1


def test_the_use_of_a_token_is_noted_all_the_same(program: Program) -> None:
    program.get(HOSTS)
    long_ago = timezone.now() - timedelta(minutes=2)
    ApiToken.objects.update(last_used_at=long_ago)

    program.get(HOSTS)

    used = ApiToken.objects.get().last_used_at
    assert used is not None
    assert used > long_ago


def test_who_asks_too_often_is_told_so(program: Program, settings: Settings) -> None:
    settings.API_READS_PER_MINUTE = 12  # two at once
    answers = [program.get(HOSTS) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1]["Retry-After"] == "5"


def test_what_came_by_https_is_kept_apart(program: Program) -> None:
    program.get(HOSTS)
    browser = Client(headers={"Authorization": f"Bearer {program.key}"})
    with CaptureQueriesContext(connection) as queries:
        answer = browser.get(HOSTS, secure=True)

    assert answer.status_code == 200
    assert len(queries) > 1
