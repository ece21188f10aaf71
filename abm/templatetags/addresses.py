"""`{% url %}` that remembers, because every page names the same addresses again and again.

An address follows from the view's name and arguments, the table of addresses in force, the
namespace of the page and the prefix that abm is served under. All of them are in the key, so what
is remembered cannot be out of date.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django import template
from django.conf import settings
from django.template.base import Parser, Token
from django.template.context import Context
from django.template.defaulttags import URLNode
from django.template.defaulttags import url as plain_url
from django.urls import get_script_prefix, get_urlconf, reverse
from django.utils.html import conditional_escape

MOST_REMEMBERED = 10_000

register = template.Library()


class RememberedUrl(URLNode):
    """Django's node for an address by positional arguments."""

    def render(self, context: Context) -> str:
        if not context.autoescape:
            return str(super().render(context))
        return _escaped(
            self.view_name.resolve(context),
            tuple(arg.resolve(context) for arg in self.args),
            _namespace(context),
            get_urlconf() or settings.ROOT_URLCONF,
            get_script_prefix(),
        )


@register.tag
def url(parser: Parser, token: Token) -> URLNode:
    """As Django's own, which it is for named arguments and for `as`."""
    node: Any = plain_url(parser, token)
    if node.kwargs or node.asvar:
        return node  # type: ignore[no-any-return]
    return RememberedUrl(node.view_name, node.args, node.kwargs, node.asvar)


def _namespace(context: Context) -> str | None:
    request: Any = getattr(context, "request", None)
    if hasattr(request, "current_app"):
        chosen: str | None = request.current_app
        return chosen
    return getattr(getattr(request, "resolver_match", None), "namespace", None)


@lru_cache(MOST_REMEMBERED)
def _escaped(
    name: str, args: tuple[Any, ...], namespace: str | None, table: str, prefix: str
) -> str:
    """`table` and `prefix` are those of this thread; `reverse` asks for them itself."""
    return conditional_escape(reverse(name, args=args, current_app=namespace))
