"""Tables of an engine's container as a form sends them, and the first of them: its ports.

Each row's fields come under one name, in the order of the rows (`port-container` twice for two
rows). What was typed is kept beside the sentence that says why it does not fit; a row without
anything in it is left out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from accounts.refused import Refused
from hosts.runners.container import PortBinding

LOOPBACK = "127.0.0.1"
NAMED = {"": LOOPBACK, "localhost": LOOPBACK, "*": "0.0.0.0"}
MAX_ROWS = 50
Row = TypeVar("Row")
Value = TypeVar("Value")


class Posted(Protocol):
    """What is asked of Django's QueryDict."""

    def getlist(self, key: str, /) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Cell:
    """One field: what stands in it, and why that does not fit."""

    text: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class PortRow:
    """A row of the ports table. `page` is the address of what the port serves, where known."""

    container: Cell
    address: Cell
    host: Cell
    protocol: Cell
    is_open: bool = False
    """Reached from other machines."""
    page: str = ""


@dataclass(frozen=True, slots=True)
class Table(Generic[Row, Value]):
    """What a form sent: rows to show again, and the values they stand for if all of them fit."""

    code: str
    rows: tuple[Row, ...]
    values: tuple[Value, ...]
    errors: tuple[str, ...] = ()

    def require(self) -> tuple[Value, ...]:
        """The values. Raises Refused with every sentence if one does not fit."""
        if self.errors:
            raise Refused(self.code, " ".join(self.errors), status=400)
        return self.values

    @property
    def stored(self) -> list[dict[str, Any]]:
        """The values as JSON, by the fields of their class."""
        return [asdict(value) for value in self.values]  # type: ignore[call-overload]


class Unfit(ValueError):
    """A field does not fit: its name and the sentence."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


def ports_shown(
    ports: Iterable[PortBinding], *, pages: Mapping[int, str] = {}
) -> Table[PortRow, PortBinding]:
    """The table of the ports that are set; `pages` has an address for each port with a page."""
    values = tuple(ports)
    rows = tuple(
        PortRow(
            Cell(str(port.container_port)),
            Cell(port.host_address),
            Cell("" if port.host_port is None else str(port.host_port)),
            Cell(port.protocol),
            is_open=is_open(port.host_address),
            page=pages.get(port.container_port, ""),
        )
        for port in values
    )
    return Table("PORTS_INVALID", rows, values)


def read_ports(
    posted: Posted, *, may_open: bool, kept: Collection[PortBinding] = ()
) -> Table[PortRow, PortBinding]:
    """The ports of a form.

    `may_open` lets a port be reached from other machines; without it only those of `kept`, which
    were opened before, stay so.
    """
    names = ("port-container", "port-address", "port-host", "port-protocol")
    rows: list[PortRow] = []
    values: list[PortBinding] = []
    errors: list[str] = []
    for container, address, host, protocol in rows_of(posted, names, errors=errors):
        if not container and not host:
            continue
        row = PortRow(Cell(container), Cell(address), Cell(host), Cell(protocol or "tcp"))
        try:
            port = _port(container, address, host, protocol)
            _check_port(port, values, may_open=may_open or port in kept)
            values.append(port)
            row = replace(row, address=Cell(port.host_address), is_open=is_open(port.host_address))
        except Unfit as error:
            row = refused(row, error)
            errors.append(str(error))
        rows.append(row)
    return Table("PORTS_INVALID", tuple(rows), tuple(values), tuple(errors))


def is_open(address: str) -> bool:
    """Whether what is published at this address of a host is reached from other machines."""
    return not ipaddress.ip_address(address).is_loopback


def refused(row: Any, error: Unfit) -> Any:
    """The row with the sentence at its field, and with all that was typed."""
    typed = getattr(row, error.field).text
    return replace(row, **{error.field: Cell(typed, str(error))})


def rows_of(posted: Posted, names: Sequence[str], *, errors: list[str]) -> list[tuple[str, ...]]:
    """The fields of each row, without blanks at their ends; fields that are absent are empty."""
    columns = [posted.getlist(name) for name in names]
    count = max(map(len, columns))
    if count > MAX_ROWS:
        errors.append(f"{count} rows are too many; up to {MAX_ROWS} can be set.")
    return [
        tuple(column[at].strip()[:4096] if at < len(column) else "" for column in columns)
        for at in range(min(count, MAX_ROWS))
    ]


def _port(container: str, address: str, host: str, protocol: str) -> PortBinding:
    inside = _port_number(container)
    if inside is None:
        words = f"{container} is no port" if container else "The port of the container is missing"
        raise Unfit("container", f"{words}: write a number from 1 to 65535.")
    outside = _port_number(host)
    if host and outside is None:
        raise Unfit("host", f"{host} is no port: write a number from 1 to 65535, or none at all.")
    try:
        place = str(ipaddress.ip_address(NAMED.get(address.lower(), address).strip("[]")))
    except ValueError:
        raise Unfit(
            "address",
            f"{address} is no address of the host: write {LOOPBACK} for this host alone.",
        ) from None
    if protocol not in {"", "tcp", "udp"}:
        raise Unfit("protocol", f"{protocol} is no protocol of a port: choose tcp or udp.")
    return PortBinding(inside, outside, place, protocol or "tcp")


def _port_number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) < 6
    return int(text) if is_number and 0 < int(text) < 65536 else None


def _check_port(port: PortBinding, others: Iterable[PortBinding], *, may_open: bool) -> None:
    """Raise Unfit for one that would be open without leave, or in the way of another row."""
    if is_open(port.host_address) and not may_open:
        raise Unfit(
            "address",
            f"At {port.host_address} port {port.container_port} would be open to the network; "
            f"only an admin may do that. Write {LOOPBACK}, or ask an admin.",
        )
    for other in others:
        if port == other:
            raise Unfit("container", f"Port {port.container_port} stands in the table twice.")
        is_same = port.host_port is not None and port.host_port == other.host_port
        if is_same and port.protocol == other.protocol and _overlap(port, other):
            raise Unfit(
                "host",
                f"Port {port.host_port} of the host is taken by port {other.container_port} "
                "in this table already. Choose another.",
            )


def _overlap(one: PortBinding, other: PortBinding) -> bool:
    addresses = {one.host_address, other.host_address}
    return len(addresses) == 1 or bool(addresses & {"0.0.0.0", "::"})
