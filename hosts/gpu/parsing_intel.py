"""What Intel's xpu-smi prints as JSON, as values.

https://intel.github.io/xpumanager/smi_user_guide.html: `discovery -j`, `discovery -d 0 -j`,
`stats -d 0 -j`, `ps -j`. Memory in use is told in MiB, the card's own in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hosts.gpu.fields import bytes_in, number_in, text_in, whole_in
from hosts.gpu.parsing_amd import json_in
from hosts.gpu.values import CardReading, GpuProcess, Unreadable, Vendor

DISCOVERY = ("xpu-smi", "discovery", "-j")
PROCESSES = ("xpu-smi", "ps", "-j")


def details_of(number: int) -> tuple[str, ...]:
    """The command for all that is fixed of one card."""
    return ("xpu-smi", "discovery", "-d", str(number), "-j")


def stats_of(number: int) -> tuple[str, ...]:
    """The command for what changes of one card."""
    return ("xpu-smi", "stats", "-d", str(number), "-j")


def _object(text: str) -> Mapping[str, Any]:
    found = json_in(text, program="xpu-smi")
    if not isinstance(found, Mapping):
        raise Unreadable("xpu-smi answers in a way that abm does not understand.", detail=text)
    if "error" in found:
        said = text_in(found["error"])
        raise Unreadable("xpu-smi cannot read its cards. Run it by hand to see why.", detail=said)
    return found


def numbers_of(text: str) -> tuple[int, ...]:
    """The cards that `discovery -j` lists. Raises Unreadable."""
    rows = _object(text).get("device_list") or ()
    found = [whole_in(row.get("device_id")) for row in rows if isinstance(row, Mapping)]
    return tuple(number for number in found if number is not None)


def card_of_intel(*, details: str, stats: str) -> CardReading:
    """One card from its `discovery -d` and `stats -d`. Raises Unreadable."""
    told, now = _object(details), _metrics(_object(stats).get("device_level") or ())
    number = whole_in(told.get("device_id"))
    return CardReading(
        uuid=text_in(told.get("uuid")) or f"index-{number}",
        vendor=Vendor.INTEL,
        index=number,
        name=text_in(told.get("device_name")) or "Intel GPU",
        memory_total=bytes_in(told.get("memory_physical_size_byte"), unit="B"),
        memory_used=bytes_in(now.get("XPUM_STATS_MEMORY_USED")),
        utilization=number_in(now.get("XPUM_STATS_GPU_UTILIZATION")),
        temperature=number_in(now.get("XPUM_STATS_GPU_CORE_TEMPERATURE")),
        power=number_in(now.get("XPUM_STATS_POWER")),
        driver=text_in(told.get("driver_version")),
    )


def _metrics(rows: Iterable[Any]) -> dict[str, Any]:
    return {
        str(row.get("metrics_type")): row.get("value") for row in rows if isinstance(row, Mapping)
    }


def processes_of_intel(text: str, cards: tuple[CardReading, ...]) -> tuple[GpuProcess, ...]:
    """From `ps -j`; its sizes are in KiB. Raises Unreadable."""
    uuids = {card.index: card.uuid for card in cards}
    found = []
    for row in _object(text).get("device_util_by_proc_list") or ():
        number = whole_in(row.get("device_id")) if isinstance(row, Mapping) else None
        if number in uuids:
            found.append(
                GpuProcess(
                    card=uuids[number],
                    pid=whole_in(row.get("process_id")),
                    memory=bytes_in(row.get("mem_size"), unit="KIB"),
                    name=text_in(row.get("process_name")),
                )
            )
    return tuple(found)
