"""Tells the audit how each request came in: as a page or by the API, and from which address."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from accounts.audit import Via, acting


class DoorMiddleware:
    """What services note during a request carries its address (see accounts.audit)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with acting(via=via_of(request), address=request.META.get("REMOTE_ADDR", "")):
            return self.get_response(request)


def via_of(request: HttpRequest) -> Via:
    """A token counts as the API wherever it is shown; so does every path below /api/."""
    headers = request.headers
    has_token = "X-API-Key" in headers or headers.get("Authorization", "").startswith("Bearer ")
    return Via.API if has_token or request.path.startswith("/api/") else Via.PAGE
