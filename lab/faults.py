"""What a registry may do wrong, as rules that FaultyRegistry plays."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

CODES = {
    401: ("UNAUTHORIZED", "authentication required"),
    403: ("DENIED", "requested access to the resource is denied"),
    404: ("MANIFEST_UNKNOWN", "manifest unknown"),
    429: ("TOOMANYREQUESTS", "You have reached your pull rate limit."),
    500: ("UNKNOWN", "unknown error"),
    503: ("UNAVAILABLE", "service unavailable"),
}
"""Status -> code and message, as the distribution specification and Docker Hub word them."""


@dataclass(slots=True)
class Fault:
    """One rule: for requests whose path matches `where`, the first `times` of them or all."""

    where: str = ""
    """A regular expression that is searched in the path; empty matches every path."""
    method: str = ""
    times: int | None = None
    status: int | None = None
    """Answer with this status and the registry's own error in JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers of that answer, such as Retry-After."""
    is_silent: bool = False
    """Take the request and answer nothing, with the connection left open."""
    stalls_after: int | None = None
    """Send so many bytes of the body and then nothing, with the connection left open."""
    cuts_after: int | None = None
    """Send so many bytes of the body and then close the connection."""
    corrupts: bool = False
    """Change the body's last byte, so that its digest is another one."""
    bytes_per_second: int | None = None

    def matches(self, method: str, path: str) -> bool:
        return (
            self.times != 0
            and self.method in {"", method}
            and re.search(self.where, path) is not None
        )

    def take(self) -> None:
        """Count one use."""
        if self.times is not None:
            self.times -= 1


def error_body(status: int) -> bytes:
    """The registry's error for a status."""
    code, message = CODES.get(status, CODES[500])
    # Without a detail Docker does not know it again and says no more than the message.
    detail = {"status": status}
    return json.dumps({"errors": [{"code": code, "message": message, "detail": detail}]}).encode()


@dataclass(frozen=True, slots=True)
class Login:
    """A name and password that the registry asks for, itself or by a token of its own."""

    name: str
    password: str
    gives_tokens: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def basic(self) -> str:
        pair = f"{self.name}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def admits(self, authorization: str) -> bool:
        return authorization == (f"Bearer {self.token}" if self.gives_tokens else self.basic)

    def challenge(self, address: str, path: str) -> str:
        """The WWW-Authenticate header for a refused request."""
        if not self.gives_tokens:
            return 'Basic realm="lab"'
        found = re.match(r"/v2/(.+)/(manifests|blobs|tags)/", path)
        scope = f',scope="repository:{found[1]}:pull"' if found else ""
        return f'Bearer realm="http://{address}/token",service="lab"{scope}'
