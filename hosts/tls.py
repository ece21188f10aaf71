"""Whom abm trusts over TLS where nothing else is said: the system's own authorities."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def tls() -> ssl.SSLContext:
    """One context for the process: making one costs 10 ms, more than most calls."""
    return ssl.create_default_context()
