"""Requests to a registry and to whom it sends us: bounded in time, in size and in trust.

One deadline holds for a request with all its redirects, however slowly bytes drip in. Redirects
carry no login to another machine and never lead from https to http.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx

from hosts.oci.errors import NotARegistry, RegistryBroken, Subject
from hosts.oci.network_words import in_words
from hosts.oci.timed import CLOCK, TimedTransport
from hosts.tls import tls as system_tls

AGENT = "abm (image check)"
SECONDS = 10.0
CONNECT_SECONDS = 5.0
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end: `url` is where it came from after all redirects."""

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def media_type(self) -> str:
        """Content-Type without its parameters, in small letters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Web:
    """Connections for one registry client; may be used from several threads."""

    def __init__(
        self, *, seconds: float = SECONDS, connections: int = 4, tls: ssl.SSLContext | None = None
    ) -> None:
        self._seconds = seconds
        self._limits = httpx.Limits(max_connections=connections)
        self._tls = tls or system_tls()
        self._lock = threading.Lock()
        self._clients: dict[str, httpx.Client] = {}

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def ask(
        self, method: str, url: str, *, about: Subject, headers: Mapping[str, str], limit: int
    ) -> Reply:
        """Send GET or HEAD and follow redirects; the body has at most `limit` bytes.

        Raises RegistryUnreachable, NotARegistry, RegistryBroken.
        """
        sent = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
        CLOCK.start(self._seconds)
        parts = _parts(url, about)
        for _ in range(MAX_REDIRECTS + 1):
            with in_words(parts.netloc, about, self._seconds):
                reply = self._once(method, url, sent, limit, about)
            if reply.status not in REDIRECTS or not reply.headers.get("location"):
                return reply
            url, before = joined(url, reply.headers["location"]), parts
            parts = _parts(url, about)
            _check_step(before, parts, about)
            if _origin(before) != _origin(parts):
                sent.pop("Authorization", None)
        raise NotARegistry(
            f"{about.registry} redirects more than {MAX_REDIRECTS} times{about.purpose}. "
            "Check its address.",
            about=about,
        )

    def _once(
        self, method: str, url: str, headers: Mapping[str, str], limit: int, about: Subject
    ) -> Reply:
        client = self._client(_proxy(urlsplit(url)))
        with client.stream(method, url, headers=headers) as answer:
            content = bytearray()
            is_wanted = "Range" not in headers or answer.status_code == 206
            for chunk in answer.iter_bytes() if is_wanted else ():
                content += chunk
                if len(content) > limit:
                    raise RegistryBroken(
                        f"{urlsplit(url).hostname} sends more than {limit // 1000} kB"
                        f"{about.purpose}, which no such answer has. Check the address of "
                        f"{about.registry}.",
                        about=about,
                    )
            return Reply(url, answer.status_code, answer.headers, bytes(content))

    def _client(self, proxy: str) -> httpx.Client:
        with self._lock:
            if proxy not in self._clients:
                self._clients[proxy] = httpx.Client(
                    transport=TimedTransport(self._tls, self._limits, proxy),
                    timeout=httpx.Timeout(self._seconds, connect=CONNECT_SECONDS),
                    follow_redirects=False,
                )
            return self._clients[proxy]


def is_loopback(host: str) -> bool:
    """Whether this names the machine itself: localhost, 127.0.0.0/8, ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _proxy(parts: SplitResult) -> str:
    """The proxy that the environment names for this address; empty for none."""
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return ""
    return urllib.request.getproxies().get(parts.scheme, "")


def _parts(url: str, about: Subject) -> SplitResult:
    try:
        parts = urlsplit(url)
        httpx.URL(url)
        parts.port  # noqa: B018  it raises for a port that is none
    except (ValueError, httpx.InvalidURL):
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise NotARegistry(
            f"{about.registry} points to an address that cannot be fetched{about.purpose}. "
            "Check the address of the registry.",
            about=about,
            detail=url[:300],
        )
    return parts


def joined(url: str, location: str) -> str:
    """Where a link on `url` leads; a link that is no address comes back as it is."""
    try:
        return urljoin(url, location)
    except ValueError:
        return location


def _check_step(before: SplitResult, after: SplitResult, about: Subject) -> None:
    if before.scheme == "https" and after.scheme != "https":
        raise NotARegistry(
            f"{about.registry} redirects from https to an unprotected address{about.purpose}, "
            "which abm does not follow. Check the settings of the registry.",
            about=about,
            detail=after.geturl()[:300],
        )


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
