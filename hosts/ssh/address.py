"""Where a remote host is reached: `ssh://user@host[:port]`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

PORT = 22
LONGEST = 300
"""Characters of an address; Host.ssh_url takes as many."""
SHAPE = "Write it as ssh://user@host or ssh://user@host:2222."
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}")
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
LONGEST_NAME = 253


class AddressInvalid(ValueError):
    """What was typed is no address of a host; the message says why and what is."""


@dataclass(frozen=True, slots=True)
class SshAddress:
    """A user on a machine. `host` is a name or a bare IPv4 or IPv6 address, in small letters."""

    user: str
    host: str
    port: int = PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORT else f":{self.port}"
        return f"ssh://{self.user}@{host}{port}"

    @property
    def where(self) -> str:
        """The machine and port in words: `10.0.0.7, port 22`."""
        return f"{self.host}, port {self.port}"


def parse(text: str) -> SshAddress:
    """The address that was typed. Raises AddressInvalid with a sentence for its writer."""
    text = text.strip()
    if not text:
        raise AddressInvalid(f"The address is missing. {SHAPE}")
    if len(text) > LONGEST or not text.isprintable() or " " in text:
        raise AddressInvalid(f"An address has no spaces and at most {LONGEST} letters. {SHAPE}")
    parts = _split(text)
    if parts.password is not None:
        raise AddressInvalid(f"Leave the password out: abm logs in with a key. {SHAPE}")
    if parts.path.strip("/") or parts.query or parts.fragment or "?" in text or "#" in text:
        raise AddressInvalid(f"Nothing may follow the host and its port. {SHAPE}")
    if not parts.username:
        raise AddressInvalid(f"The user to log in as is missing. {SHAPE}")
    if not USER.fullmatch(user := unquote(parts.username)):
        raise AddressInvalid(
            f"{user} is no user name that abm can log in as: it is made of letters, digits "
            f"and . _ + - and begins with a letter, digit or _. {SHAPE}"
        )
    return SshAddress(user, _host(parts), _port(parts))


def _split(text: str) -> SplitResult:
    scheme, mark, _ = text.partition("://")
    if mark and scheme.lower() != "ssh":
        raise AddressInvalid(f"{scheme}:// does not lead to a host by SSH. {SHAPE}")
    try:
        return urlsplit(text if mark else f"ssh://{text}")
    except ValueError as error:
        raise AddressInvalid(
            f"{text} is no address: its brackets hold no IPv6 address. {SHAPE}"
        ) from error


def _port(parts: SplitResult) -> int:
    after = parts.netloc.rpartition("@")[2].rpartition("]")[2]
    if not after.endswith(":"):
        try:
            port = PORT if parts.port is None else parts.port
        except ValueError:
            port = 0
        if 0 < port < 2**16:
            return port
    raise AddressInvalid(f"A port is a number from 1 to 65535. {SHAPE}")


def _host(parts: SplitResult) -> str:
    netloc = parts.netloc.rpartition("@")[2]
    if not netloc.startswith("[") and netloc.count(":") > 1:
        raise AddressInvalid(
            f"An IPv6 address stands in brackets: ssh://user@[{netloc}]. Check the address."
        )
    host = unquote(parts.hostname or "").rstrip(".")
    if not host:
        raise AddressInvalid(f"The host is missing. {SHAPE}")
    if netloc.startswith("["):
        return _ipv6(host)
    if re.fullmatch(r"[0-9.]+", host):
        return _ipv4(host)
    return _name(host)


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError as error:
        raise AddressInvalid(f"[{text}] is no IPv6 address. {SHAPE}") from error


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise AddressInvalid(f"{text} is no IPv4 address. {SHAPE}") from error


def _name(text: str) -> str:
    try:
        name = text if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        name = ""
    if len(name) > LONGEST_NAME or not all(LABEL.fullmatch(one) for one in name.split(".")):
        raise AddressInvalid(
            f"{text} is no name of a machine: it is made of letters, digits, - and dots. {SHAPE}"
        )
    return name
