"""What people set on an engine is typed, range-checked and kept apart from the defaults."""

from __future__ import annotations

import pytest

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


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        preferences.set_language(make_engine(), language="xx", user=None)

    assert refused.value.code == "LANGUAGE_UNKNOWN"


def test_an_engine_without_a_schema_takes_what_it_is_given() -> None:
    engine = make_engine(definition={})

    assert validated_parameters(engine, {"anything": 1}) == {"anything": 1}
