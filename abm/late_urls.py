"""Addresses whose code is read when the first of them is asked for."""

from __future__ import annotations

from django.urls import URLResolver
from django.urls.resolvers import RoutePattern
from django.utils.datastructures import MultiValueDict
from django.utils.translation import get_language


class LateResolver(URLResolver):
    """What stands below a prefix; `module` is imported at the first request below it.

    The stock one is read at the first link that any page writes. These addresses have no names,
    so no link is ever looked for among them.
    """

    def _populate(self) -> None:
        language = get_language()
        self._namespace_dict[language] = {}  # type: ignore[attr-defined]
        self._app_dict[language] = {}  # type: ignore[attr-defined]
        self._reverse_dict[language] = MultiValueDict()


def late(route: str, module: str) -> LateResolver:
    """Like `path(route, include(module))`, without the import now."""
    return LateResolver(RoutePattern(route), module)
