"""An engine's parameters: what a definition says of them, and whether a value fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic import ValidationError as PydanticError

from catalog.words import readable_description, readable_key, readable_label

Number = StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]
MOST_NUMBER = 2**63
"""No parameter is as large; a whole number of thousands of digits cannot even be compared."""
MAX_TEXT_VALUE = 10_000


class ValueRefused(ValueError):
    """A value does not fit its parameter; the message is a sentence that names both."""


class Parameter(BaseModel):
    """One setting of an engine, in the words of engine.yaml."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["float", "int", "bool", "string"]
    default: Any = Field(json_schema_extra={"type": ["number", "boolean", "string", "null"]})
    label: StrictStr = Field(default="", max_length=200)
    description: StrictStr = Field(default="", max_length=2000)
    min: Number | None = None
    max: Number | None = None
    step: Number | None = Field(default=None, gt=0)
    readonly: bool = False
    category: StrictStr = Field(default="", max_length=100)
    options: list[StrictInt | StrictFloat | StrictStr] = Field(default=[], max_length=200)

    @model_validator(mode="after")
    def _fits_itself(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is larger than max {self.max}")
        if self.default is not None:
            self.default = self._checked(self.default, "the default")
        return self

    def named(self, name: str) -> Self:
        """A copy whose label, description and category are words, never translation keys."""
        return self.model_copy(
            update={
                "label": readable_label(self.label, name),
                "description": readable_description(self.description),
                "category": readable_key(self.category) if self.category else "",
            }
        )

    @property
    def range_text(self) -> str:
        """The allowed values in words, such as `from 0.5 to 2`; empty where anything goes."""
        if self.options:
            return "one of " + ", ".join(str(option) for option in self.options)
        if self.min is not None and self.max is not None:
            return f"from {_number(self.min)} to {_number(self.max)}"
        if self.min is not None:
            return f"{_number(self.min)} or more"
        if self.max is not None:
            return f"{_number(self.max)} or less"
        return ""

    def _checked(self, value: Any, subject: str) -> Any:
        value = self._typed(value, subject)
        if self.options and value not in self.options:
            raise ValueRefused(f"{subject} must be {self.range_text}; {value} is not.")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            below = self.min is not None and value < self.min
            above = self.max is not None and value > self.max
            if below or above:
                raise ValueRefused(f"{subject} must be {self.range_text}; {_number(value)} is not.")
        return value

    def _typed(self, value: Any, subject: str) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if self.type == "bool":
            if isinstance(value, bool):
                return value
            raise ValueRefused(f"{subject} must be true or false.")
        if self.type == "string":
            if isinstance(value, str) and len(value) <= MAX_TEXT_VALUE and "\x00" not in value:
                return value
            raise ValueRefused(f"{subject} must be text of at most {MAX_TEXT_VALUE} characters.")
        if not is_number or not abs(value) < MOST_NUMBER:
            wanted = "a whole number" if self.type == "int" else "a number"
            raise ValueRefused(f"{subject} must be {wanted}{self._and_range()}.")
        if self.type == "int":
            if value != int(value):
                raise ValueRefused(f"{subject} must be a whole number{self._and_range()}.")
            return int(value)
        return float(value)

    def _and_range(self) -> str:
        return f", {self.range_text}" if self.range_text else ""


def read_parameters(raw: Mapping[str, Any]) -> dict[str, Parameter]:
    """The parameters kept in a definition as objects; ones that make no sense are left out."""
    parameters = {}
    for name, fields in raw.items():
        try:
            parameters[name] = Parameter.model_validate(fields).named(name)
        except PydanticError:
            continue
    return parameters


def check_value(name: str, parameter: Parameter, value: Any) -> Any:
    """`value` as the engine should get it; ValueRefused with a sentence if it does not fit."""
    subject = readable_label(parameter.label, name)
    checked = parameter._checked(value, subject)
    if parameter.readonly and checked != parameter.default:
        raise ValueRefused(f"{subject} cannot be changed; this engine fixes it.")
    return checked


def read_value(name: str, parameter: Parameter, text: str) -> Any:
    """A form's text for a parameter as a checked value; a comma may stand for the point."""
    text = text.strip() if parameter.type != "string" else text
    value: Any = text
    if parameter.type == "bool":
        value = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}.get(
            text.lower(), text
        )
    elif parameter.type in {"int", "float"}:
        value = _parsed_number(text)
    return check_value(name, parameter, value)


def check_values(
    parameters: Mapping[str, Parameter], values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that fit, and for each of the others the sentence that says why not."""
    good: dict[str, Any] = {}
    bad: dict[str, str] = {}
    for name, value in values.items():
        if name not in parameters:
            bad[name] = f"This engine has no parameter {name[:100]}."
            continue
        try:
            good[name] = check_value(name, parameters[name], value)
        except ValueRefused as error:
            bad[name] = str(error)
    return good, bad


def _parsed_number(text: str) -> int | float | str:
    text = text.replace(",", ".")
    try:
        return int(text) if text.lstrip("+-").isdecimal() and len(text) < 20 else float(text)
    except ValueError:
        return text


def _number(value: int | float) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
