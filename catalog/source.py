"""Fetching a catalog from the network without being led astray. Knows no models.

A name is looked up once, every address of it is checked, and the connection goes to a checked
address, so a name that changes its mind between check and use gains nothing. Each redirect is
checked in the same way.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

MAX_BYTES = 2_000_000
MAX_REDIRECTS = 3
TIMEOUT_SECONDS = 10.0
CHUNK_BYTES = 64 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
AGENT = "abm (catalog sync)"
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchFailed(Exception):
    """The catalog could not be fetched; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: `content` is None when nothing changed since the marks that were sent."""

    content: bytes | None
    etag: str = ""
    last_modified: str = ""


def fetch(
    url: str,
    *,
    etag: str = "",
    last_modified: str = "",
    allows_private: bool = False,
    seconds: float = TIMEOUT_SECONDS,
) -> Fetched:
    """Fetch `url` unless it is unchanged, in `seconds` with all redirects. Raises FetchFailed."""
    headers = {"User-Agent": AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
    if etag:
        headers["If-None-Match"] = etag
    if last_modified:
        headers["If-Modified-Since"] = last_modified
    deadline = time.monotonic() + seconds
    for _ in range(MAX_REDIRECTS + 1):
        parts = check_address(url)
        addresses = _addresses(parts, allows_private=allows_private)
        with _sentences(parts, seconds):
            answer = _ask(parts, addresses, headers, deadline)
        if isinstance(answer, Fetched):
            return answer
        url = urljoin(url, answer)
    raise FetchFailed(f"It redirects more than {MAX_REDIRECTS} times.")


def check_address(url: str) -> SplitResult:
    """The parts of an address that can be fetched. Raises FetchFailed for another one."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  it raises for a port that is none
    except ValueError as error:
        raise FetchFailed(f"This is not a valid address: {url[:200]}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise FetchFailed("A catalog's address begins with http:// or https://.")
    if parts.username or parts.password:
        raise FetchFailed("An address with a name and password in it cannot be fetched.")
    return parts


def _ask(
    parts: SplitResult, addresses: Sequence[str], headers: dict[str, str], deadline: float
) -> Fetched | str:
    """One request: what it gave, or where it points."""
    connection = _Pinned(parts, addresses, deadline)
    with contextlib.closing(connection):
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET", quote(target, safe="/%:=&?~+!$,;'@()*[]"), None, headers)
        with connection.getresponse() as answer:
            location = answer.getheader("Location")
            if answer.status in REDIRECTS and location:
                return location
            if answer.status == 304:
                return Fetched(None)
            if answer.status != 200:
                raise FetchFailed(f"{parts.hostname} answered with status {answer.status}.")
            return Fetched(
                _read(answer),
                (answer.getheader("ETag") or "")[:300],
                (answer.getheader("Last-Modified") or "")[:100],
            )


def _read(answer: http.client.HTTPResponse) -> bytes:
    """The body; a long one is left as soon as it is too long."""
    too_large = FetchFailed(f"It is larger than {MAX_BYTES // 1_000_000} MB.")
    if (answer.length or 0) > MAX_BYTES:
        raise too_large
    content = bytearray()
    while chunk := answer.read1(CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_BYTES:
            raise too_large
    if answer.length:
        raise FetchFailed("The answer broke off before its end.")
    return bytes(content)


@contextlib.contextmanager
def _sentences(parts: SplitResult, seconds: float) -> Iterator[None]:
    """What a network may do wrong, in words."""
    name = parts.hostname
    try:
        yield
    except TimeoutError as error:
        raise FetchFailed(f"{name} did not answer in {seconds:g} s.") from error
    except ssl.SSLError as error:
        raise FetchFailed(f"{name} has no valid certificate: {error.reason}.") from error
    except OSError as error:
        why = error.strerror or "no answer"
        raise FetchFailed(f"{name} cannot be reached: {why}.") from error
    except (http.client.HTTPException, ValueError) as error:
        raise FetchFailed(f"{name} does not speak HTTP as it should.") from error


def names_private_address(url: str) -> bool:
    """Whether `url` itself says that it lies in a private network: who sets it, allows it."""
    name = urlsplit(url).hostname or ""
    try:
        return name == "localhost" or not _is_public(name)
    except ValueError:
        return False


def _addresses(parts: SplitResult, *, allows_private: bool) -> list[str]:
    """The addresses of the host; refused if any of them is not a public one."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchFailed(
            f"The name {parts.hostname} is not known here; is this machine offline?"
        ) from error
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    for text in addresses:
        if not allows_private and not _is_public(text):
            raise FetchFailed(
                f"{parts.hostname} is {text}, an address of a private network or of this machine. "
                "An admin can allow that for this source."
            )
    return addresses


def _is_public(text: str) -> bool:
    """Whether the address, and one that it carries inside, belongs to the open internet."""
    address = ipaddress.ip_address(text.partition("%")[0])
    inner: list[ipaddress.IPv4Address | ipaddress.IPv6Address | None] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        inner += [address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            inner.append(ipaddress.IPv4Address(address.packed[-4:]))
        if address.ipv4_mapped is not None:
            inner = [address.ipv4_mapped]
    return all(one.is_global and not one.is_multicast for one in inner if one is not None)


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was checked, under the name that was asked for."""

    def __init__(self, parts: SplitResult, addresses: Sequence[str], deadline: float) -> None:
        self._is_tls = parts.scheme == "https"
        self.default_port = 443 if self._is_tls else 80
        super().__init__(str(parts.hostname), parts.port or self.default_port)
        self._addresses = addresses
        self._deadline = deadline
        self.response_class = functools.partial(_Timed, deadline=deadline)  # type: ignore[assignment]

    def connect(self) -> None:
        """The first address that answers; the last one's error if none does."""
        for number, address in enumerate(self._addresses, start=1):
            try:
                self.sock = socket.create_connection((address, self.port), _left(self._deadline))
                break
            except OSError:
                if number == len(self._addresses):
                    raise
        if self._is_tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


class _Timed(http.client.HTTPResponse):
    """An answer that must be whole at the deadline, however slowly its bytes drip in."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_Dripping(sock, self.fp.detach(), deadline))


class _Dripping(io.RawIOBase):
    """A socket's bytes; each wait for more ends at the deadline."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: float) -> None:
        self._sock, self._raw, self._deadline = sock, raw, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
