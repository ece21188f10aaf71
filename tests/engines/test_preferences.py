"""What people set on an engine is typed, range-checked and kept apart from the defaults."""

from __future__ import annotations

import pytest

from accounts.models import User
from accounts.refused import Refused
from engines import preferences
from engines.schema import settings_of, validated_parameters
from tests.engines.factories import make_engine

pytestmark = pytest.mark.django_db


def test_only_what_differs_from_the_default_is_kept() -> None:
    engine = make_engine()

    preferences.set_parameters(engine, values={"speed": 1.5, "pitch": 50}, user=None)

    engine.refresh_from_db()
    assert engine.parameters == {"speed": 1.5}


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"speed": 9.0}, "Speed"),
        ({"speed": "fast"}, "number"),
        ({"pitch": 1.5}, "whole number"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(values: dict[str, object], word: str) -> None:
    engine = make_engine()

    with pytest.raises(Refused) as refused:
        preferences.set_parameters(engine, values=values, user=None)

    assert refused.value.status == 400
    assert word in refused.value.message
    engine.refresh_from_db()
    assert engine.parameters == {}


def test_a_translation_key_is_never_a_label() -> None:
    labels = [setting.parameter.label for setting in settings_of(make_engine())]

    assert labels == ["Speed", "Pitch"]


def test_reset_takes_one_value_back() -> None:
    engine = make_engine(parameters={"speed": 1.5, "pitch": 60})

    preferences.reset_parameter(engine, name="speed", user=None)

    engine.refresh_from_db()
    assert engine.parameters == {"pitch": 60}


@pytest.mark.parametrize("text", ["no equals", "1X=2", "PORT=1", "=x"])
def test_a_bad_line_of_the_environment_is_named(text: str) -> None:
    engine = make_engine()

    with pytest.raises(Refused, match="Line 2"):
        preferences.set_environment(engine, text=f"GOOD=1\n{text}", user=None)


def test_the_environment_keeps_values_with_equals_signs() -> None:
    engine = make_engine()

    preferences.set_environment(engine, text="# a note\nTOKEN=a=b\n", user=None)

    engine.refresh_from_db()
    assert engine.environment == {"TOKEN": "a=b"}


def test_only_an_admin_sets_the_environment() -> None:
    operator = User.objects.create_user("olga", role=User.Role.OPERATOR)

    with pytest.raises(Refused) as refused:
        preferences.set_environment(make_engine(), text="A=1", user=operator)

    assert refused.value.status == 403


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        preferences.set_language(make_engine(), language="xx", user=None)

    assert refused.value.code == "LANGUAGE_UNKNOWN"


def test_an_engine_without_a_schema_takes_what_it_is_given() -> None:
    engine = make_engine(definition={})

    assert validated_parameters(engine, {"anything": 1}) == {"anything": 1}
