"""What is kept of Try it: ten results of each person for each engine, and their recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.refused import Refused
from accounts.services import remove_user
from engines import trial_results, trials
from engines.models import Engine, Trial
from engines.state import require_running
from tests.engines.factories import make_engine
from tests.engines.speaking import silence, speaking_engine
from tests.pages.factories import make_user

pytestmark = pytest.mark.django_db


def spoken(engine: Engine, user: User, number: int) -> Trial:
    """One more result, as an engine's answer leaves it."""
    call = trials.Call(engine, user, "/generate", kept={"text": f"Text {number}"})
    trial = trial_results.keep(call, trials.Answer(silence(), "audio/wav", 0.1))
    trial_results.end(call)
    return trial


def texts(user: User) -> list[str]:
    rows = Trial.objects.filter(user=user).order_by("pk")
    return [row.request["text"] for row in rows]


def recordings() -> set[str]:
    return {file.name for file in trial_results.trials_folder().iterdir()}


def test_the_eleventh_takes_the_place_of_the_first(
    settings: Settings, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    settings.DATA_DIR = tmp_path
    engine, ada, olga = make_engine(), make_user("admin"), make_user("operator")
    kept = spoken(engine, olga, 0)

    with django_capture_on_commit_callbacks(execute=True):
        made = [spoken(engine, ada, number) for number in range(12)]

    assert texts(ada) == [f"Text {number}" for number in range(2, 12)]
    assert texts(olga) == ["Text 0"]
    assert recordings() == {kept.audio, *(trial.audio for trial in made[2:])}


def test_nobody_waits_for_more_questions_than_a_try_needs(
    client: Client, settings: Settings, tmp_path: Path, django_assert_num_queries: Any
) -> None:
    settings.DATA_DIR = tmp_path
    client.force_login(make_user("operator"))
    with speaking_engine() as speaking:
        engine = make_engine(state=Engine.State.RUNNING, url=speaking.url)
        path = f"/engines/{engine.pk}/try/"
        with django_assert_num_queries(9) as asked:
            client.post(path, {"text": "Hello"}, headers={"HX-Request": "true"})

    said = [question["sql"] for question in asked.captured_queries]
    kept = next(place for place, sql in enumerate(said) if sql.startswith("INSERT"))
    assert kept == 4  # after the session, the person, the engine, and that it is in use
    assert Trial.objects.count() == 1


def test_an_answer_without_end_is_given_up(
    operator: Client, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(trials, "MAX_ANSWER_BYTES", 10_000)
    with speaking_engine() as speaking:
        engine = make_engine(state=Engine.State.RUNNING, url=speaking.url)
        answer = operator.post(f"/engines/{engine.pk}/try/", {"text": "Hello"})

    assert answer.status_code == 502
    assert "answered with more than 0.01 MB" in answer.content.decode()
    assert not Trial.objects.exists()


def test_recordings_go_with_the_person_who_made_them(
    settings: Settings, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    settings.DATA_DIR = tmp_path
    engine, ada, olga = make_engine(), make_user("admin"), make_user("operator")
    spoken(engine, olga, 1)
    stays = spoken(engine, ada, 2)

    with django_capture_on_commit_callbacks(execute=True):
        remove_user(olga, user=ada)

    assert recordings() == {stays.audio}


def test_recordings_go_with_their_engine(
    settings: Settings, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    settings.DATA_DIR = tmp_path
    engine, ada = make_engine(), make_user("admin")
    spoken(engine, ada, 1)
    stays = spoken(make_engine(), ada, 2)

    with django_capture_on_commit_callbacks(execute=True):
        engine.delete()

    assert recordings() == {stays.audio}


def test_a_recording_stays_when_its_row_is_not_deleted_after_all(
    settings: Settings, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    settings.DATA_DIR = tmp_path
    stays = spoken(make_engine(), make_user("admin"), 1)

    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        stays.delete()
        transaction.set_rollback(True)

    assert recordings() == {stays.audio}


@pytest.mark.parametrize(
    ("state", "way"),
    [
        ("starting", "Wait until it runs"),
        ("loading", "Wait until it runs"),
        ("stopped", "Start it"),
    ],
)
def test_who_cannot_try_it_yet_is_told_what_to_do(state: str, way: str) -> None:
    engine = make_engine(state=Engine.State(state), name="voice")

    with pytest.raises(Refused, match=f"is {state}. {way}, then try again."):
        require_running(engine)
