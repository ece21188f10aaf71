"""Reads YAML that strangers wrote: bounded, without aliases, tags or surprises.

YAML 1.1 turns `no` into false, `0123` into 83 and `12:30` into 750. Here only what YAML 1.2 calls
a number or a boolean becomes one; all else stays the text that was written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

MAX_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 20
MAX_NODES = 200_000

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(
    r"[-+]?((0|[1-9][0-9]{0,17})\.[0-9]{0,30}|\.[0-9]{1,30}|[0-9](?=[eE]))([eE][-+]?[0-9]{1,3})?"
)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False}
_BOOLEANS["FALSE"] = False
_NULLS = {"", "~", "null", "Null", "NULL"}
# Control characters, and the marks that turn the direction of text: with them a name can be made
# to look like another one. PostgreSQL refuses NUL and lone surrogates besides.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029"
    "\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
_STRING_TAG = "tag:yaml.org,2002:str"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnreadableYaml(ValueError):
    """The text is not YAML that abm reads; the message is a sentence that says why."""


def load(raw: bytes) -> Any:
    """Read one YAML document into plain values: dict, list, str, int, float, bool and None."""
    if len(raw) > MAX_BYTES:
        raise UnreadableYaml("It is larger than 2 MB.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableYaml("It is not text in UTF-8.") from error
    if looks_like_html(text):
        raise UnreadableYaml("It is a web page and not YAML; is the address right?")
    try:
        return _Builder(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.YAMLError as error:
        raise UnreadableYaml(_sentence(error)) from error


def looks_like_html(text: str) -> bool:
    """Whether `text` starts like a web page (or XML), which no YAML of ours does."""
    return text[:512].lstrip("\ufeff \t\r\n").startswith("<")


def clean_text(text: str) -> str:
    """`text` without control characters and direction marks; lines and tabs stay."""
    return _UNWANTED.sub("", text.replace("\r\n", "\n"))


def _sentence(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it is not valid YAML"
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return clean_text(f"It is not valid YAML; {where}{problem}."[:300])


class _Builder:
    """Builds values straight from the parser's events, so nothing is expanded before a check."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._nodes = 0

    def document(self) -> Any:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise UnreadableYaml("It is empty.")
        value = self._value(next(self._events), depth=0)
        next(self._events)  # the end of the document
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            raise UnreadableYaml("It holds more than one YAML document.")
        return value

    def _value(self, event: Any, *, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise UnreadableYaml(f"It holds more than {MAX_NODES} values.")
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise UnreadableYaml(f"Line {line} uses an anchor or alias (& or *); write it out.")
        if event.tag not in {None, "!", _STRING_TAG}:
            raise UnreadableYaml(f"Line {line} uses the YAML tag {clean_text(event.tag)[:60]}.")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if depth >= MAX_DEPTH:
            raise UnreadableYaml(f"Line {line} is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth + 1)
        return self._mapping(depth + 1)

    def _sequence(self, depth: int) -> list[Any]:
        values = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, depth=depth))
        return values

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                raise UnreadableYaml(f"Line {line}: a key must be plain text.")
            self._value(event, depth=depth)  # counts it, and refuses anchors and tags
            key = clean_text(event.value)
            if key in values:
                raise UnreadableYaml(f"Line {line}: the key {key[:60]!r} stands there twice.")
            values[key] = self._value(next(self._events), depth=depth)
        return values


def _scalar(event: yaml.ScalarEvent) -> str | int | float | bool | None:
    text: str = event.value
    if not event.implicit[0] or event.style in {"'", '"', "|", ">"}:
        return clean_text(text)
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return clean_text(text)
