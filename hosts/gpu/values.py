"""What is read of graphics cards. None is unknown: never zero, and never "there is none"."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Vendor(StrEnum):
    """Who made a card, and so which program tells of it."""

    NVIDIA = "nvidia"
    AMD = "amd"
    INTEL = "intel"


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a card that was cut by MIG; it is handed out by its own UUID. Bytes."""

    uuid: str = ""
    name: str = ""
    """The profile, such as `3g.20gb`."""
    memory_total: int | None = None
    memory_used: int | None = None


@dataclass(frozen=True, slots=True)
class CardReading:
    """One card at one moment. Memory in bytes, power in watts, temperature in °C, use in %."""

    uuid: str
    """Its key on its host; `index-0` for a card that tells no UUID."""
    vendor: Vendor = Vendor.NVIDIA
    index: int | None = None
    """Its number in the order of the PCI bus."""
    name: str = ""
    memory_total: int | None = None
    memory_used: int | None = None
    utilization: float | None = None
    temperature: float | None = None
    power: float | None = None
    power_limit: float | None = None
    driver: str = ""
    cuda: str = ""
    """The newest CUDA that the driver can do."""
    compute_capability: str = ""
    is_mig: bool | None = None
    partitions: tuple[Partition, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory of a card, numbered as its host numbers it."""

    card: str
    """The UUID of the card."""
    pid: int | None
    memory: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The cards of a machine and who is on them."""

    cards: tuple[CardReading, ...] | None
    """Empty: there is none. None: they could not be read, and `problem` says why."""
    processes: tuple[GpuProcess, ...] | None = None
    problem: str = ""
    """A sentence with the way out; also beside cards that were read, for one that was not."""
    detail: str = ""
    """The raw words."""


class Unreadable(Exception):
    """A program's answer tells nothing of its cards; the message says why, with the way out."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail[:2_000]
