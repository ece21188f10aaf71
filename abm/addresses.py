"""Numeric addresses: abm that listens everywhere answers to any of them.

In a container it cannot know which addresses its machine has, and a numeric one is no danger: a
page of somebody else's can make a browser ask abm by a *name* that it controls (DNS rebinding),
never by a number that is not abm's. Names must be known (ALLOWED_HOSTS, PUBLIC_URL).
"""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import OriginValidator
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest

EVERYWHERE = {"0.0.0.0", "::"}


def is_open_address(host: str) -> bool:
    """Whether a Host header is a numeric address, and abm listens on all that there are."""
    if settings.HOST not in EVERYWHERE:
        return False
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
    return True


class AddressedRequest(ASGIRequest):
    """A request that may be asked of a numeric address."""

    def get_host(self) -> str:
        host = str(self._get_raw_host())  # type: ignore[attr-defined]
        return host if is_open_address(host) else super().get_host()


class KnownOrigin(OriginValidator):  # type: ignore[misc]
    """Sockets for pages of a known name, or of the very address that they were asked of."""

    def __init__(self, application: Any) -> None:
        super().__init__(application, settings.ALLOWED_HOSTS)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        headers = dict(scope.get("headers", []))
        host = headers.get(b"host", b"").decode("latin1")
        origin = headers.get(b"origin", b"").decode("latin1")
        if is_open_address(host) and origin in {f"http://{host}", f"https://{host}"}:
            return await self.application(scope, receive, send)
        return await super().__call__(scope, receive, send)
