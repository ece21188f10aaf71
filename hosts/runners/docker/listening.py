"""Where the processes of a container listen inside it, and what it means that nobody answers."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hosts.runners.base import EngineEndpoint
from hosts.runners.docker.control_group import ROOT, is_seen

LISTEN = "0A"
"""State of a socket in /proc/net/tcp (include/net/tcp_states.h of Linux)."""
RESOLVER = "127.0.0.11"
"""Docker's own name server, inside every container of a network."""
CONNECT_SECONDS = 1.0
HEX_WORD = 8


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """A socket that waits for connections, inside a container."""

    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Nobody outside of the container can reach it."""
        return ipaddress.ip_address(self.address).is_loopback


def listeners_of(pid: int, container_id: str, *, root: Path = ROOT) -> tuple[Listener, ...] | None:
    """Where the container of the process `pid` listens; None where abm cannot look.

    Read from /proc/<pid>/net, which shows the container's own network.
    """
    if not is_seen(pid, container_id, root=root):
        return None
    folder = root / f"proc/{pid}/net"
    lines = [line for name in ("tcp", "tcp6") for line in _rows(folder / name)]
    found = {_listener(line) for line in lines if line.split()[3] == LISTEN}
    return tuple(sorted(one for one in found if one.address != RESOLVER))


def address_problem(
    endpoint: EngineEndpoint | None,
    heard: tuple[Listener, ...] | None,
    *,
    name: str,
    inner_port: int,
    is_reached: bool,
    is_abm_contained: bool = False,
    is_elsewhere: bool = False,
) -> str:
    """Why a running engine cannot be reached where abm looks for it; empty if nothing is wrong.

    `heard` is where it listens inside (None: unknown), `inner_port` where it was told to,
    `is_reached` whether a connection was taken, `is_elsewhere` that it is another machine by TCP.
    """
    if endpoint is None:
        return (
            f"{name} runs, but its port {inner_port} leads nowhere: it is in no network that abm "
            "can reach. Start it again; abm then makes its container anew."
        )
    if heard is not None and inner_port not in {one.port for one in heard if not one.is_loopback}:
        return _heard_elsewhere(heard, name=name, inner_port=inner_port)
    if is_reached or (heard is None and not is_abm_contained and not is_elsewhere):
        return ""
    if is_abm_contained:
        return (
            f"{name} runs, but {endpoint.url} does not answer: abm runs in a container itself, "
            f"where {urlsplit(endpoint.url).hostname} is not the host. Put abm and its engines "
            "into one network, named in ENGINE_NETWORK, or let DOCKER_ENGINE_HOST name the host."
        )
    if is_elsewhere:
        return (
            f"{name} runs on another machine, but {endpoint.url} does not answer. Let "
            "DOCKER_ENGINE_HOST name that machine and its firewall let abm in, or add it as a "
            "host by SSH."
        )
    return (
        f"{name} listens on port {inner_port} inside its container, but {endpoint.url} takes no "
        "connection. A firewall, or Docker with its proxy switched off, may be in between."
    )


def _heard_elsewhere(heard: tuple[Listener, ...], *, name: str, inner_port: int) -> str:
    inside = sorted({one.port for one in heard})
    if inner_port in inside:
        return (
            f"{name} listens on 127.0.0.1 inside its container, where nobody else can reach "
            "it. Its server must listen on 0.0.0.0: give it `--host 0.0.0.0` in its command, "
            "or HOST=0.0.0.0 in its environment if it reads that."
        )
    if inside:
        return (
            f"{name} listens on port {' and '.join(map(str, inside))} inside its container "
            f"instead of {inner_port}, which abm gave it by PORT. Set the engine's port to that, "
            "or let its server read PORT."
        )
    return ""  # not yet: a slow start is no wrong address


def is_reached(endpoint: EngineEndpoint, *, seconds: float = CONNECT_SECONDS) -> bool:
    """Whether something takes connections there."""
    parts = urlsplit(endpoint.url)
    with contextlib.suppress(OSError):
        socket.create_connection((parts.hostname or "", parts.port or 80), seconds).close()
        return True
    return False


def _rows(file: Path) -> list[str]:
    """`sl local_address rem_address st ...`, one socket each, below a line of titles."""
    try:
        return file.read_text().splitlines()[1:]
    except OSError:  # it ended just now
        return []


def _listener(row: str) -> Listener:
    address, _, port = row.split()[1].partition(":")
    return Listener(_address(address), int(port, 16))


def _address(digits: str) -> str:
    """An address as Linux prints it: 32-bit words in hexadecimal, in the order of the machine."""
    words = re.findall("." * HEX_WORD, digits)
    packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    found = ipaddress.ip_address(packed)
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)
