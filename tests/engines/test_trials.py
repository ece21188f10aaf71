"""What is kept of Try it: ten results of each person for each engine, and their recordings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import User
from engines import trial_results, trials
from engines.models import Engine, Trial
from tests.engines.factories import make_engine
from tests.engines.speaking import silence
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


def test_the_eleventh_takes_the_place_of_the_first(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    engine, ada, olga = make_engine(), make_user("admin"), make_user("operator")
    kept = spoken(engine, olga, 0)

    made = [spoken(engine, ada, number) for number in range(12)]

    assert texts(ada) == [f"Text {number}" for number in range(2, 12)]
    assert texts(olga) == ["Text 0"]
    there = {file.name for file in trial_results.trials_folder().iterdir()}
    assert there == {kept.audio, *(trial.audio for trial in made[2:])}
