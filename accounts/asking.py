"""Who asks for a page, whether htmx does, and how to send either of them on."""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django_htmx.http import HttpResponseClientRedirect

from accounts.models import User


def user_of(request: HttpRequest) -> User:
    """Who is signed in; the middleware has sent everybody else to the login."""
    return cast(User, request.user)


def is_htmx(request: HttpRequest) -> bool:
    """Whether a part of a page is asked for; a browser that has no scripts asks for pages."""
    return request.headers.get("HX-Request") == "true"


def send_to(request: HttpRequest, name: str, **values: Any) -> HttpResponse:
    """To the page called `name`. htmx follows a redirect by itself, so it is told to load it."""
    answer = redirect(name, **values)
    return HttpResponseClientRedirect(answer.url) if is_htmx(request) else answer
