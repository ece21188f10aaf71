"""Reading the cards of one machine, whoever made them, by asking programs where they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from hosts.gpu import parsing, parsing_amd, parsing_intel
from hosts.gpu.asking import Ask, Said
from hosts.gpu.values import CardReading, GpuProcess, Inventory, Partition, Unreadable
from hosts.runners.docker.facts import NVIDIA_VENDOR, cards_of
from hosts.runners.docker.system import System, text_of

STATIC_SECONDS = 600.0
AMD_VENDOR = "0x1002"
Fixed = tuple[str, tuple[Partition, ...]]
"""What changes seldom of a card: CUDA, and its partitions."""


class CardReader:
    """Reads the cards of a machine again and again; remembers only what seldom changes.

    `ask` runs a command there. `without` says what holds where no vendor's program is there.
    """

    def __init__(self, ask: Ask, *, without: Callable[[], Inventory]) -> None:
        self._ask = ask
        self._without = without
        self._fields: tuple[str, ...] = parsing.GPU_FIELDS
        self._fixed: dict[str, Fixed] = {}
        self._fixed_at = 0.0

    def read(self) -> Inventory:
        """The cards now. Never raises: what cannot be read is told in words."""
        found = [
            inventory
            for read in (self._nvidia, self._amd, self._intel)
            if (inventory := _guarded(read)) is not None
        ]
        return _together(found) if found else self._without()

    def _said(self, command: Sequence[str]) -> Said:
        said = self._ask(command)
        if said.is_late:
            raise Unreadable(
                f"{command[0]} does not answer. Its driver hangs; restart the machine if it stays "
                "so."
            )
        return said

    def _text(self, command: Sequence[str]) -> str:
        """What it printed, whatever its exit status: the words say more than the number."""
        return self._said(command).text

    def _nvidia(self) -> Inventory | None:
        said = self._said(parsing.query_gpus(self._fields))
        if said.is_missing:
            return None
        while (refused := parsing.refused_field(said.text)) in self._fields:
            # An older nvidia-smi, which answers nothing at all because of one field.
            self._fields = tuple(field for field in self._fields if field != refused)
            said = self._said(parsing.query_gpus(self._fields))
        told = parsing.cards_of_csv(said.text, self._fields)
        if not told.cards:
            return Inventory((), ())
        cards = self._completed(told.cards)
        detail = "\n".join(told.faults)
        try:
            processes = parsing.processes_of_csv(self._text(parsing.query_apps()))
        except Unreadable as error:
            return Inventory(cards, None, told.problem or error.message, detail or error.detail)
        return Inventory(cards, processes, told.problem, detail)

    def _completed(self, cards: tuple[CardReading, ...]) -> tuple[CardReading, ...]:
        """With CUDA and partitions, which no CSV tells."""
        is_old = time.monotonic() - self._fixed_at > STATIC_SECONDS
        has_parts = any(card.is_mig for card in cards)
        if is_old or has_parts or {card.uuid for card in cards} != set(self._fixed):
            self._fixed = self._read_fixed(cards, with_uuids=has_parts)
            self._fixed_at = time.monotonic()
        return tuple(
            replace(card, cuda=self._fixed[card.uuid][0], partitions=self._fixed[card.uuid][1])
            for card in cards
        )

    def _read_fixed(self, cards: tuple[CardReading, ...], *, with_uuids: bool) -> dict[str, Fixed]:
        try:
            told, _ = parsing.cards_of_xml(self._text(("nvidia-smi", "-q", "-x")))
        except Unreadable:
            told = ()
        names = parsing.partitions_of_list(self._text(("nvidia-smi", "-L"))) if with_uuids else {}
        by_uuid = {card.uuid: card for card in told}
        empty = CardReading("")
        return {
            card.uuid: (
                by_uuid.get(card.uuid, empty).cuda,
                _named(by_uuid.get(card.uuid, empty).partitions, names.get(card.uuid, ())),
            )
            for card in cards
        }

    def _amd(self) -> Inventory | None:
        listed = self._said(parsing_amd.LIST)
        if listed.is_missing:
            said = self._said(parsing_amd.ROCM)
            return None if said.is_missing else Inventory(parsing_amd.cards_of_rocm(said.text))
        cards = parsing_amd.cards_of_amd(
            listed=listed.text,
            static=self._text(parsing_amd.STATIC),
            metric=self._text(parsing_amd.METRIC),
        )
        text = self._text(parsing_amd.PROCESS)
        return _with_processes(cards, lambda: parsing_amd.processes_of_amd(text, cards))

    def _intel(self) -> Inventory | None:
        said = self._said(parsing_intel.DISCOVERY)
        if said.is_missing:
            return None
        cards = tuple(
            parsing_intel.card_of_intel(
                details=self._text(parsing_intel.details_of(number)),
                stats=self._text(parsing_intel.stats_of(number)),
            )
            for number in parsing_intel.numbers_of(said.text)
        )
        text = self._text(parsing_intel.PROCESSES)
        return _with_processes(cards, lambda: parsing_intel.processes_of_intel(text, cards))


def inventory_of_long(text: str, *, listed: str = "") -> Inventory:
    """From `nvidia-smi -q -x` alone, and `nvidia-smi -L` for parts of a card: for a host that
    answers no other question. Never raises: what cannot be read is told in words.
    """
    try:
        cards, processes = parsing.cards_of_xml(text)
    except Unreadable as error:
        return Inventory(None, None, error.message, error.detail)
    names = parsing.partitions_of_list(listed)
    cards = tuple(
        replace(card, partitions=_named(card.partitions, names.get(card.uuid, ())))
        for card in cards
    )
    return Inventory(cards, processes)


def _guarded(read: Callable[[], Inventory | None]) -> Inventory | None:
    try:
        return read()
    except Unreadable as error:
        return Inventory(None, None, error.message, error.detail)


def _with_processes(
    cards: tuple[CardReading, ...], read: Callable[[], tuple[GpuProcess, ...]]
) -> Inventory:
    """Cards that were read count, also where their processes were not."""
    try:
        return Inventory(cards, read())
    except Unreadable as error:
        return Inventory(cards, None, error.message, error.detail)


def _named(told: tuple[Partition, ...], listed: tuple[Partition, ...]) -> tuple[Partition, ...]:
    """Sizes from the one answer and UUIDs from the other; both go by the device's number."""
    if len(told) != len(listed):
        return listed or told
    return tuple(
        replace(part, uuid=part.uuid or name.uuid, name=name.name)
        for part, name in zip(told, listed, strict=True)
    )


def _together(found: list[Inventory]) -> Inventory:
    """Cards of all vendors. Where only one could be read, its cards count and the rest is told."""
    read = [inventory for inventory in found if inventory.cards is not None]
    problem = " ".join(inventory.problem for inventory in found if inventory.problem)
    detail = "\n".join(inventory.detail for inventory in found if inventory.detail)
    cards = [card for inventory in read for card in inventory.cards or ()]
    if not cards and len(read) < len(found):
        return Inventory(None, None, problem, detail)
    known = [inventory.processes for inventory in read if inventory.cards]
    processes = [process for rows in known for process in rows or ()]
    is_known = all(rows is not None for rows in known)
    return Inventory(tuple(cards), tuple(processes) if is_known else None, problem, detail)


def without_programs(system: System) -> Inventory:
    """What can be said of this machine's cards where no vendor's program is installed."""
    if not system.is_linux:
        return Inventory(None, None, "The cards of this system cannot be read by abm.")
    if cards_of(system):
        way = (
            "abm's own container does not see it. Start that with --gpus all and "
            "NVIDIA_DRIVER_CAPABILITIES=utility to have it read."
            if system.is_container
            else "nvidia-smi is not installed. Install the NVIDIA driver with its programs."
        )
        return Inventory(None, None, f"An NVIDIA card is in this machine, but {way}")
    if _has_display_of(AMD_VENDOR, system):
        words = "AMD graphics are in this machine; neither amd-smi nor rocm-smi is, to read them."
        return Inventory(None, None, words)
    return Inventory((), ())


def _has_display_of(vendor: str, system: System) -> bool:
    """A display controller (class 03) of this maker on the PCI bus."""
    assert vendor != NVIDIA_VENDOR, "cards_of() knows more of those"
    files = (system.root / "sys/bus/pci/devices").glob("*/vendor")
    return any(
        text_of(file).strip() == vendor
        and text_of(file.with_name("class")).strip().startswith("0x03")
        for file in files
    )
