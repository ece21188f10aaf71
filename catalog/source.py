"""Fetching a catalog from the network without being led astray. Knows no models.

A name is looked up once, every address of it is checked, and the connection goes to the checked
address, so a name that changes its mind between check and use gains nothing. Each redirect is
checked in the same way.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

MAX_BYTES = 2_000_000
MAX_REDIRECTS = 3
TIMEOUT_SECONDS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
AGENT = "abm (catalog sync)"


class FetchFailed(Exception):
    """The catalog could not be fetched; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: `content` is None when nothing changed since the marks that were sent."""

    content: bytes | None
    etag: str = ""
    last_modified: str = ""


def fetch(
    url: str, *, etag: str = "", last_modified: str = "", allows_private: bool = False
) -> Fetched:
    """Fetch `url` unless it is unchanged. Raises FetchFailed."""
    headers = {"User-Agent": AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
    if etag:
        headers["If-None-Match"] = etag
    if last_modified:
        headers["If-Modified-Since"] = last_modified
    for _ in range(MAX_REDIRECTS + 1):
        answer = _ask(url, headers, allows_private=allows_private)
        if isinstance(answer, Fetched):
            return answer
        url = urljoin(url, answer)
    raise FetchFailed(f"It redirects more than {MAX_REDIRECTS} times.")


def _ask(url: str, headers: dict[str, str], *, allows_private: bool) -> Fetched | str:
    """One request: what it gave, or where it points."""
    parts = _checked(url)
    address = _address(parts, allows_private=allows_private)
    connection = _Pinned(parts, address)
    try:
        target = parts.path or "/"
        connection.request(
            "GET", f"{target}?{parts.query}" if parts.query else target, None, headers
        )
        answer = connection.getresponse()
        if answer.status in REDIRECTS and answer.getheader("Location"):
            return str(answer.getheader("Location"))
        if answer.status == 304:
            return Fetched(None)
        if answer.status != 200:
            raise FetchFailed(f"{parts.hostname} answered with status {answer.status}.")
        return Fetched(
            _read(answer),
            (answer.getheader("ETag") or "")[:300],
            (answer.getheader("Last-Modified") or "")[:100],
        )
    except TimeoutError as error:
        raise FetchFailed(f"{parts.hostname} did not answer in {TIMEOUT_SECONDS} s.") from error
    except ssl.SSLError as error:
        raise FetchFailed(f"{parts.hostname} has no valid certificate: {error.reason}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise FetchFailed(f"{parts.hostname} cannot be reached: {error or 'no answer'}.") from error
    finally:
        connection.close()


def _read(answer: http.client.HTTPResponse) -> bytes:
    content = answer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FetchFailed(f"It is larger than {MAX_BYTES // 1_000_000} MB.")
    return content


def _checked(url: str) -> SplitResult:
    parts = urlsplit(url)
    try:
        parts.port  # noqa: B018  it raises for a port that is none
    except ValueError as error:
        raise FetchFailed(f"The address has no valid port: {url[:200]}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise FetchFailed("Only http and https addresses can be fetched.")
    return parts


def _address(parts: SplitResult, *, allows_private: bool) -> str:
    """The first address of the host; refused if any of its addresses is not a public one."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise FetchFailed(
            f"The name {parts.hostname} is not known here; is this machine offline?"
        ) from error
    addresses = [str(row[4][0]) for row in found]
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        if not allows_private and (not mapped.is_global or mapped.is_multicast):
            raise FetchFailed(
                f"{parts.hostname} is {text}, an address of a private network or of this machine. "
                "An admin can allow that for this source."
            )
    return addresses[0]


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was checked, under the name that was asked for."""

    def __init__(self, parts: SplitResult, address: str) -> None:
        self._is_tls = parts.scheme == "https"
        port = parts.port or (443 if self._is_tls else 80)
        self.default_port = 443 if self._is_tls else 80
        super().__init__(str(parts.hostname), port, timeout=TIMEOUT_SECONDS)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), TIMEOUT_SECONDS)
        if self._is_tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
