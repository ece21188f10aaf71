"""What an engine's own definition lets a person set, and whether a value fits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accounts.refused import Refused
from catalog.parameters import Parameter, ValueRefused, check_values, read_parameters, read_value
from catalog.words import language_choices
from engines.models import Engine


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter as a form shows it: what it is, what it is set to, whether by a user."""

    name: str
    parameter: Parameter
    value: Any
    is_changed: bool
    error: str = ""

    @property
    def text(self) -> str:
        """The value as a form field holds it."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return "" if self.value is None else str(self.value)

    @property
    def default_text(self) -> str:
        default = self.parameter.default
        if isinstance(default, bool):
            return "on" if default else "off"
        return "empty" if default in (None, "") else str(default)


def parameters_of(engine: Engine) -> dict[str, Parameter]:
    """The engine's parameters by name, as its definition declares them."""
    return read_parameters(engine.definition.get("parameters") or {})


def settings_of(engine: Engine, *, refused: Mapping[str, tuple[str, str]] = {}) -> list[Setting]:
    """Every parameter with its value in force; `refused` has {name: (typed text, sentence)}."""
    rows = []
    for name, parameter in parameters_of(engine).items():
        is_changed = name in engine.parameters
        value = engine.parameters.get(name, parameter.default)
        typed, error = refused.get(name, (value, ""))
        rows.append(Setting(name, parameter, typed, is_changed, error))
    return rows


def languages_of(engine: Engine) -> list[tuple[str, str]]:
    """(code, name) of each language the engine takes, by name."""
    codes = engine.definition.get("supported_languages") or []
    return language_choices(str(code) for code in codes)


def validated_parameters(engine: Engine, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` if all fit; else Refused PARAMETERS_INVALID with a sentence for each bad one.

    An engine whose definition names no parameters takes what it is given: attached engines may
    know more than they say.
    """
    known = parameters_of(engine)
    if not known:
        return dict(values)
    good, bad = check_values(known, values)
    if bad:
        raise Refused("PARAMETERS_INVALID", " ".join(bad.values()), status=400, **bad)
    return good


def read_texts(
    engine: Engine, texts: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """A form's texts as values, and {name: (text, sentence)} for those that do not fit."""
    good: dict[str, Any] = {}
    bad: dict[str, tuple[str, str]] = {}
    for name, parameter in parameters_of(engine).items():
        if name not in texts or parameter.readonly:
            continue
        try:
            good[name] = read_value(name, parameter, texts[name])
        except ValueRefused as error:
            bad[name] = (texts[name], str(error))
    return good, bad
