"""What a person limits or changes of an engine's container: `Engine.limits`, read from a form.

Sizes are written as people write them, `4 GB` or `1.5 GiB`; a single letter counts as Docker counts
it (`4g` is 4 GiB). Only what differs from the image's own is kept.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from accounts.refused import Refused
from engines.forms import Cell, Unfit

UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    **dict.fromkeys(("K", "KIB"), 2**10),
    **dict.fromkeys(("M", "MIB"), 2**20),
    **dict.fromkeys(("G", "GIB"), 2**30),
    **dict.fromkeys(("T", "TIB"), 2**40),
}
WRITTEN = ("TB", "TiB", "GB", "GiB", "MB", "MiB", "kB", "KiB", "B")
LEAST_MEMORY = 6 * 2**20
"""Docker takes no less (https://docs.docker.com/engine/containers/resource_constraints/)."""
LEAST_CPUS = 0.01
SIZE = re.compile(r"(\d{1,15}(?:[.,]\d{1,6})?)\s*([a-z]{1,3})\Z", re.IGNORECASE | re.ASCII)
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?\Z")
HOST_LINE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,252}))\s*[\s:=]\s*(\S+)\Z")
GATEWAY = "host-gateway"
"""Docker's own word for the host as a container sees it."""
MAX_HOSTS, MAX_WORDS = 50, 200
POLICIES = {
    "no": "abm alone",
    "on-failure": "Docker, when it fails",
    "unless-stopped": "Docker, unless it was stopped",
    "always": "Docker, always",
}
ENTRYPOINTS = {"inherit": "The image's own", "none": "None", "list": "This one"}
FIELDS = (
    "cpus",
    "memory",
    "shm",
    "user",
    "entrypoint_mode",
    "entrypoint",
    "command",
    "extra_hosts",
    "restart_policy",
    "restart_count",
)


class Fields(Protocol):
    """What is asked of Django's QueryDict."""

    def get(self, key: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The form: its fields by name, and what they stand for, as `Engine.limits` keeps it."""

    fields: Mapping[str, Cell]
    stored: Mapping[str, Any]
    policies: Mapping[str, str]
    entrypoints: Mapping[str, str]

    @property
    def errors(self) -> list[str]:
        return [cell.error for cell in self.fields.values() if cell.error]

    def require(self) -> dict[str, Any]:
        """What is to be stored. Raises Refused with every sentence if a field does not fit."""
        if self.errors:
            raise Refused("LIMITS_INVALID", " ".join(self.errors), status=400)
        return dict(self.stored)


def limits_shown(stored: Mapping[str, Any]) -> Limits:
    """The form for what is set."""
    entrypoint = stored.get("entrypoint")
    mode = "inherit" if entrypoint is None else "list" if entrypoint else "none"
    policy, _, count = str(stored.get("restart_policy") or "no").partition(":")
    hosts: Mapping[str, str] = stored.get("extra_hosts") or {}
    cpus = stored.get("cpus")
    texts = {
        "cpus": "" if cpus is None else f"{cpus:g}",
        "memory": size_written(stored.get("memory_bytes")),
        "shm": size_written(stored.get("shm_bytes")),
        "user": str(stored.get("user") or ""),
        "entrypoint_mode": mode,
        "entrypoint": shlex.join(entrypoint or ()),
        "command": shlex.join(stored.get("command") or ()),
        "extra_hosts": "\n".join(f"{name} {address}" for name, address in hosts.items()),
        "restart_policy": policy,
        "restart_count": count,
    }
    cells = {name: Cell(text) for name, text in texts.items()}
    return Limits(cells, stored, POLICIES, ENTRYPOINTS)


def read_limits(posted: Fields, *, cpu_count: int | None = None) -> Limits:
    """The limits of a form; `cpu_count` is how many processors the host has, where known."""
    texts = {name: str(posted.get(name) or "").strip()[:10_000] for name in FIELDS}
    mode, policy = texts["entrypoint_mode"], texts["restart_policy"] or "no"
    readers: dict[str, tuple[str, Callable[[], Any]]] = {
        "cpus": ("cpus", lambda: _cpus(texts["cpus"], cpu_count)),
        "memory": ("memory_bytes", lambda: _size("memory", texts["memory"], least=LEAST_MEMORY)),
        "shm": ("shm_bytes", lambda: _size("shm", texts["shm"], least=1)),
        "user": ("user", lambda: _user(texts["user"])),
        "entrypoint": ("entrypoint", lambda: _entrypoint(mode, texts["entrypoint"])),
        "command": ("command", lambda: _words("command", texts["command"]) or None),
        "extra_hosts": ("extra_hosts", lambda: _hosts(texts["extra_hosts"])),
        "restart_policy": ("restart_policy", lambda: _policy(policy, texts["restart_count"])),
    }
    cells = {name: Cell(text) for name, text in texts.items()}
    stored = {}
    for key, read in readers.values():
        try:
            value = read()
        except Unfit as error:
            cells[error.field] = Cell(texts[error.field], str(error))
            continue
        if value is not None and value not in ("", "no", {}):
            stored[key] = value
    return Limits(cells, stored, POLICIES, ENTRYPOINTS)


def size_written(count: Any) -> str:
    """Bytes as `read_limits` reads them back, in the unit that says them shortest; exact."""
    if not count:
        return ""
    texts = []
    for unit in WRITTEN:
        number = f"{count / UNITS[unit.upper()]:.3f}".rstrip("0").rstrip(".")
        if round(float(number) * UNITS[unit.upper()]) == count:
            texts.append(f"{number} {unit}")
    return min(texts, key=len)


def _size(field: str, text: str, *, least: int) -> int | None:
    if not text:
        return None
    found = SIZE.match(text)
    unit = UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise Unfit(field, f"{text} is no size: write it like 4 GB, 512 MB or 1.5 GiB.")
    size = round(float(found[1].replace(",", ".")) * unit)
    if size < least or size > 2**50:
        raise Unfit(field, f"{text} cannot be given: write at least {size_written(least)}.")
    return size


def _cpus(text: str, most: int | None) -> float | None:
    if not text:
        return None
    written = text.replace(",", ".")
    if not re.fullmatch(r"\d{1,4}(\.\d{1,4})?", written, re.ASCII):
        raise Unfit("cpus", f"{text} is no number of processors: write it like 2 or 1.5.")
    count = float(written)
    if count < LEAST_CPUS or (most and count > most):
        has = f"; this host has {most}" if most else ""
        raise Unfit("cpus", f"{text} processors cannot be given: write at least 0.01{has}.")
    return count


def _user(text: str) -> str:
    if text and not USER.match(text):
        raise Unfit("user", f"{text} is no user: write a name, or numbers like 1000 or 1000:1000.")
    return text


def _words(field: str, text: str) -> list[str]:
    """A line as a shell would cut it into words."""
    if "\x00" in text:
        raise Unfit(field, "A program takes no empty characters (NUL) as its words.")
    try:
        words = shlex.split(text)
    except ValueError:
        raise Unfit(field, "A quotation mark in it is not closed.") from None
    if len(words) > MAX_WORDS:
        raise Unfit(field, f"{len(words)} words are too many; up to {MAX_WORDS} can be set.")
    return words


def _entrypoint(mode: str, text: str) -> list[str] | None:
    if mode not in ENTRYPOINTS:
        mode = "list" if text else "inherit"
    if mode != "list":
        return None if mode == "inherit" else []
    words = _words("entrypoint", text)
    if not words:
        raise Unfit("entrypoint", "The entrypoint is missing: write a program, or choose another.")
    return words


def _hosts(text: str) -> dict[str, str]:
    """Lines `name address`; a colon or an equals sign may stand between them."""
    hosts: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        found = HOST_LINE.match(line.strip())
        if found is None:
            raise Unfit("extra_hosts", f"Line {number} is not of the form “name address”.")
        hosts[found[1]] = _address(number, found[3])
    if len(hosts) > MAX_HOSTS:
        raise Unfit(
            "extra_hosts", f"{len(hosts)} hosts are too many; up to {MAX_HOSTS} can be set."
        )
    return hosts


def _address(number: int, text: str) -> str:
    if text == GATEWAY:
        return text
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise Unfit(
            "extra_hosts",
            f"Line {number}: {text} is no address; write one like 192.168.1.20, or {GATEWAY}.",
        ) from None


def _policy(policy: str, count: str) -> str:
    if policy not in POLICIES:
        raise Unfit("restart_policy", f"{policy[:40]} is none of the ways to start it again.")
    if policy != "on-failure" or not count:
        return policy
    if not (count.isascii() and count.isdigit() and 0 < int(count[:6]) <= 1000):
        raise Unfit("restart_count", f"{count} is no number of times: write one from 1 to 1000.")
    return f"on-failure:{int(count)}"
