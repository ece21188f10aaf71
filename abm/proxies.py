"""Whom abm believes what a proxy adds to a request: where it came from, and that it came by https.

Of anybody else such headers are dropped, so that nobody can pretend to be somewhere or somebody.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_FORWARDED")


class TrustedProxyMiddleware:
    """Puts the client's address in REMOTE_ADDR where a trusted proxy tells it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        peer = request.META.get("REMOTE_ADDR", "")
        request.is_from_proxy = is_trusted(peer)  # type: ignore[attr-defined]
        if is_trusted(peer):
            request.META["REMOTE_ADDR"] = client_address(
                peer, request.META.get("HTTP_X_FORWARDED_FOR", "")
            )
            return self.get_response(request)
        if settings.SECURE_SSL_REDIRECT and "HTTP_X_FORWARDED_PROTO" in request.META:
            return _unknown_proxy(peer)
        for name in FORWARDED:
            request.META.pop(name, None)
        return self.get_response(request)


def is_trusted(address: str) -> bool:
    """Whether this is a proxy that TRUSTED_PROXIES names."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in settings.TRUSTED_PROXIES)


def client_address(peer: str, forwarded_for: str) -> str:
    """The last address that no trusted proxy has; what stands left of it anybody may write."""
    found = peer
    for word in reversed(forwarded_for.split(",")):
        text = word.strip()
        try:
            ip_address(text)
        except ValueError:
            return found
        found = text
        if not is_trusted(text):
            return found
    return found


def _unknown_proxy(peer: str) -> HttpResponse:
    """Without this sentence the redirect to https would go round in circles."""
    return HttpResponse(
        f"abm was asked by a proxy at {peer}, which it does not trust. Start it with "
        f"TRUSTED_PROXIES={peer} (addresses or networks with commas between them).\n",
        status=400,
        content_type="text/plain; charset=utf-8",
    )
