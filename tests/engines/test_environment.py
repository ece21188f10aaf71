"""Variables of an engine are typed by its definition; secrets are kept but never shown."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.http import QueryDict
from pytest_django import Settings

from accounts.models import User
from accounts.refused import Refused
from accounts.secrets import SecretUnreadable, decrypted, encrypted, renewed
from engines.environment import (
    Environment,
    SecretLost,
    environment_shown,
    read_environment,
    require_variables,
    set_variables,
    variables_of,
)
from engines.models import Engine
from engines.spec import spec_of, spec_to_start
from tests.engines.factories import make_engine, make_host

pytestmark = pytest.mark.django_db

WANTED = [
    {
        "name": "HF_TOKEN",
        "type": "secret",
        "description": "From Hugging Face.",
        "is_required": True,
    },
    {"name": "WORKERS", "type": "int", "default": 2},
    {"name": "TEMPERATURE", "type": "float"},
    {"name": "USE_CACHE", "type": "bool", "default": True},
    {"name": "PRECISION", "type": "choice", "options": ["fp16", "fp32"]},
    {"name": "MODEL", "is_required": True, "default": "large"},
]


@pytest.fixture
def engine() -> Engine:
    return make_engine(definition={"abm": {"environment": WANTED}})


def read(engine: Engine, *free: tuple[str, str, str], **known: str) -> Environment:
    """What the form says; `free` are rows of name, value and kind."""
    form = QueryDict(mutable=True)
    for name, value in known.items():
        form[name.replace("__", "-")] = value
    for name, value, kind in free:
        form.appendlist("env-name", name)
        form.appendlist("env-value", value)
        form.appendlist("env-kind", kind)
    return read_environment(engine, form)


def save(engine: Engine, *free: tuple[str, str, str], **known: str) -> None:
    set_variables(engine, variables=read(engine, *free, **known), user=None)
    engine.refresh_from_db()


class TestTypes:
    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("WORKERS", " 4 ", "4"),
            ("TEMPERATURE", "0,7", "0.7"),
            ("TEMPERATURE", "1e-3", "1e-3"),
            ("USE_CACHE", "On", "true"),
            ("USE_CACHE", "0", "false"),
            ("PRECISION", "fp32", "fp32"),
            ("MODEL", "a b = c", "a b = c"),
        ],
    )
    def test_a_value_that_fits_is_what_the_engine_gets(
        self, engine: Engine, name: str, text: str, value: str
    ) -> None:
        save(engine, **{f"variable__{name}": text})

        assert variables_of(engine) == {name: value}

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("WORKERS", "2.5", "WORKERS must be a whole number; 2.5 is not."),
            ("TEMPERATURE", "warm", "TEMPERATURE must be a number; warm is not."),
            ("TEMPERATURE", "nan", "must be a number"),
            ("USE_CACHE", "maybe", "either on or off"),
            ("PRECISION", "fp8", "must be one of fp16, fp32; fp8 is not."),
            ("MODEL", "x" * 10_001, "longer than 10000"),
        ],
    )
    def test_one_that_does_not_fit_is_said_kept_and_nothing_is_saved(
        self, engine: Engine, name: str, text: str, words: str
    ) -> None:
        form = read(engine, variable__HF_TOKEN="hf_1", **{f"variable__{name}": text})

        row = next(row for row in form.rows if row.name.text == name)
        assert words in row.value.error
        assert row.value.text == text
        with pytest.raises(Refused, match=re.escape(words)):
            set_variables(engine, variables=form, user=None)
        engine.refresh_from_db()
        assert engine.environment == engine.secrets == {}

    def test_what_is_left_empty_is_not_set(self, engine: Engine) -> None:
        save(engine, variable__WORKERS="", variable__MODEL=" ")

        assert variables_of(engine) == {}

    def test_a_definition_that_makes_no_sense_is_passed_over(self) -> None:
        odd: list[Any] = [{"name": "1X"}, "X", {"name": "A", "type": "choice"}, {"name": "PORT"}]
        engine = make_engine(definition={"abm": {"environment": [*odd, {"name": "GOOD"}]}})

        assert [row.name.text for row in environment_shown(engine).rows] == ["GOOD"]


class TestSecrets:
    def test_a_secret_is_stored_encrypted_and_never_shown(self, engine: Engine) -> None:
        save(engine, variable__HF_TOKEN="hf_geheim")

        row = environment_shown(engine).rows[0]
        assert "HF_TOKEN" not in engine.environment
        assert "hf_geheim" not in str(engine.secrets)
        assert (row.value.text, row.is_secret, row.is_set) == ("", True, True)
        assert variables_of(engine) == {"HF_TOKEN": "hf_geheim"}

    def test_nor_when_the_form_is_refused(self, engine: Engine) -> None:
        form = read(engine, variable__HF_TOKEN="hf_geheim", variable__WORKERS="x")

        assert "hf_geheim" not in str(form.rows)

    def test_it_stays_when_its_field_is_left_empty(self, engine: Engine) -> None:
        save(engine, variable__HF_TOKEN="hf_1")
        save(engine, variable__HF_TOKEN="", variable__WORKERS="3")

        assert variables_of(engine) == {"HF_TOKEN": "hf_1", "WORKERS": "3"}

    def test_it_is_replaced_by_a_new_one(self, engine: Engine) -> None:
        save(engine, variable__HF_TOKEN="hf_1")
        save(engine, variable__HF_TOKEN="hf_2")

        assert variables_of(engine) == {"HF_TOKEN": "hf_2"}

    def test_it_goes_when_it_is_ticked_away(self, engine: Engine) -> None:
        save(engine, variable__HF_TOKEN="hf_1")
        save(engine, variable__HF_TOKEN="", remove__HF_TOKEN="on")

        assert variables_of(engine) == {}

    def test_one_of_the_user_s_own_stays_with_its_row_and_goes_with_it(
        self, engine: Engine
    ) -> None:
        save(engine, ("API_KEY", "k", "secret"))
        assert "API_KEY" not in engine.environment

        save(engine, ("API_KEY", "", "secret"))
        assert variables_of(engine) == {"API_KEY": "k"}

        save(engine)
        assert variables_of(engine) == {}

    def test_a_secret_is_not_made_visible_without_its_value(self, engine: Engine) -> None:
        save(engine, ("API_KEY", "k", "secret"))

        form = read(engine, ("API_KEY", "", "plain"))

        assert "enter its value again" in form.errors[0]

    def test_what_lay_open_becomes_a_secret_when_the_definition_says_so(
        self, engine: Engine
    ) -> None:
        engine.environment = {"HF_TOKEN": "hf_old"}
        engine.save()

        row = environment_shown(engine).rows[0]
        save(engine, variable__HF_TOKEN="")

        assert (row.value.text, row.is_set) == ("", True)
        assert engine.environment == {}
        assert variables_of(engine) == {"HF_TOKEN": "hf_old"}

    def test_a_lost_key_is_said_with_the_name_of_the_variable(
        self, engine: Engine, settings: Settings
    ) -> None:
        save(engine, variable__HF_TOKEN="hf_1")
        settings.SECRET_KEY = "another"

        with pytest.raises(SecretLost, match=r"HF_TOKEN of .* Enter it again"):
            variables_of(engine)


class TestFreeRows:
    def test_any_other_variable_can_be_set(self, engine: Engine) -> None:
        save(engine, ("http_proxy", "http://proxy:3128", "plain"), ("", "", "plain"))

        assert engine.environment == {"http_proxy": "http://proxy:3128"}
        assert [row.name.text for row in environment_shown(engine).free_rows] == ["http_proxy"]

    def test_an_empty_value_is_a_value(self, engine: Engine) -> None:
        save(engine, ("EMPTY", "", "plain"))

        assert variables_of(engine) == {"EMPTY": ""}

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("", "A value has no name"),
            ("1ST", "1ST is no name of a variable"),
            ("A-B", "A-B is no name"),
            ("PORT", "PORT is set by abm itself"),
            ("WORKERS", "WORKERS stands there twice"),
        ],
    )
    def test_a_name_that_does_not_fit_is_said(self, engine: Engine, name: str, words: str) -> None:
        form = read(engine, (name, "x", "plain"))

        assert words in form.free_rows[0].name.error
        assert words in form.errors[0]
        assert form.free_rows[0].value.text == "x"

    def test_the_same_name_twice_is_said(self, engine: Engine) -> None:
        form = read(engine, ("A", "1", "plain"), ("A", "2", "secret"))

        assert form.errors == ["A stands there twice. Take one of them away."]

    def test_too_many_are_refused(self, engine: Engine) -> None:
        form = read(engine, *[(f"A{number}", "1", "plain") for number in range(101)])

        assert "107 variables are too many" in form.errors[-1]

    def test_only_an_admin_sets_them(self, engine: Engine) -> None:
        somebody = User(username="olga", role=User.Role.OPERATOR)

        with pytest.raises(Refused) as refused:
            set_variables(engine, variables=read(engine), user=somebody)

        assert refused.value.status == 403


class TestRequired:
    def test_one_that_is_missing_is_named_with_what_it_is(self, engine: Engine) -> None:
        with pytest.raises(
            Refused, match=r"needs HF_TOKEN \(From Hugging Face\) before"
        ) as refused:
            require_variables(engine)

        assert refused.value.code == "ENVIRONMENT_MISSING"

    def test_a_secret_or_a_default_is_enough(self, engine: Engine) -> None:
        save(engine, variable__HF_TOKEN="hf_1")

        require_variables(engine)


class TestKeys:
    def test_a_token_is_another_each_time_and_reads_the_same(self) -> None:
        one, other = encrypted("ä"), encrypted("ä")

        assert one != other
        assert decrypted(one) == decrypted(other) == "ä"

    def test_a_former_key_reads_until_it_is_dropped(self, settings: Settings) -> None:
        token = encrypted("secret")
        former, settings.SECRET_KEY = settings.SECRET_KEY, "the next key"
        with pytest.raises(SecretUnreadable):
            decrypted(token)

        settings.SECRET_KEY_FALLBACKS = [former]
        assert decrypted(token) == "secret"
        token = renewed(token)
        settings.SECRET_KEY_FALLBACKS = []

        assert decrypted(token) == "secret"

    def test_a_token_that_was_changed_is_refused(self) -> None:
        token = encrypted("secret")

        with pytest.raises(SecretUnreadable):
            decrypted(token[:-4] + "AAA=")


def test_a_lost_secret_keeps_an_engine_from_starting_and_from_nothing_else(
    settings: Settings,
) -> None:
    engine = make_engine(host=make_host())
    engine.secrets = {"TOKEN": encrypted("abc")}
    engine.save()
    assert spec_to_start(engine).environment == {"TOKEN": "abc"}

    settings.SECRET_KEY = "another one altogether, long enough to be taken"

    assert spec_of(engine).environment == {}
    with pytest.raises(SecretLost, match="TOKEN"):
        spec_to_start(engine)
