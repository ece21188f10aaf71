"""The contract's own paths without `/api`, for requests that bring a token and for no other.

`abm.api_door.BareApiMiddleware` sends them here; a cookie counts for nothing on this way, so no
other site can make a browser use it.
"""

from __future__ import annotations

from typing import Any

from abm.api import BARE, addresses, both, forbidden

urlpatterns: list[Any] = [
    *forbidden,
    *(pattern for route in BARE if route in addresses for pattern in both(route, addresses[route])),
]
