"""Every address of abm, so that a new one is tested before anybody thinks of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

CONVERTER = re.compile(r"<(?:(\w+):)?(\w+)>")
REGEX_GROUP = re.compile(r"\(\?P<(\w+)>[^)]*\)")


def patterns() -> list[str]:
    """All patterns as they stand in the urls modules, joined: `jobs/<int:pk>/cancel/`."""
    return sorted(set(_walk(get_resolver().url_patterns, "")))


def _walk(found: list[Any], before: str) -> Iterator[str]:
    for one in found:
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, before + str(one.pattern))
        elif isinstance(one, URLPattern):
            yield before + str(one.pattern)


def address(pattern: str, **values: object) -> str:
    """A path that the pattern matches; what is not given is 1."""
    plain = REGEX_GROUP.sub(lambda group: str(values.get(group[1], "1")), pattern)
    plain = CONVERTER.sub(lambda group: str(values.get(group[2], "1")), plain)
    return "/" + plain.replace("^", "").replace("$", "")
