"""What nvidia-smi prints, as values.

Fields and tags: `nvidia-smi --help-query-gpu`, `--help-query-compute-apps`, `nvidia-smi -q -x`;
https://docs.nvidia.com/deploy/nvidia-smi/. A field that a card does not have is `[N/A]` or
`[Not Supported]`, one that failed `[Unknown Error]` or `ERR!`: each is unknown by itself and takes
no other field along.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hosts.gpu.fields import bytes_in, number_in, text_in, whole_in
from hosts.gpu.values import CardReading, GpuProcess, Partition, Unreadable

GPU_FIELDS = (
    "index",
    "uuid",
    "memory.total",
    "memory.used",
    "utilization.gpu",
    "temperature.gpu",
    "power.draw",
    "power.limit",
    "driver_version",
    "compute_cap",
    "mig.mode.current",
    "name",
)
"""Of `--query-gpu`. The name comes last: it is the one that may hold a comma."""
APP_FIELDS = ("gpu_uuid", "pid", "used_memory", "process_name")
FORMAT = "--format=csv,noheader,nounits"
LONGEST = 4_000_000
NO_DEVICES = re.compile(r"^No devices were found", re.MULTILINE)
BAD_FIELD = re.compile(r'Field "([^"]+)" is not a valid field')
LISTED_CARD = re.compile(r"GPU (\d+): (.*) \(UUID: ([^)\s]+)\)")
LISTED_PART = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: ([^)\s]+)\)")
REASONS = (
    (
        r"version mismatch",
        "The NVIDIA driver was updated while the old one is still loaded. Restart the machine.",
    ),
    (
        r"couldn't communicate with the NVIDIA driver",
        "nvidia-smi is installed, but no NVIDIA driver is loaded. Install the driver, or restart "
        "the machine after an update of its kernel.",
    ),
    (
        r"GPU is lost|Unable to determine the device handle|has fallen off the bus",
        "A card no longer answers its driver. Restart the machine; if it happens again, look at "
        "the card's power supply and slot.",
    ),
    (
        r"Insufficient Permissions|Permission denied",
        "The user may not open the NVIDIA devices. Give it access to /dev/nvidiactl and "
        "/dev/nvidia0, mostly by its group video.",
    ),
    (
        r"GPU access blocked by the operating system",
        "Windows does not hand its card to this Linux. Update its NVIDIA driver, then "
        "`wsl --shutdown`.",
    ),
    (
        r"NVIDIA-SMI couldn't find libnvidia-ml|NVML Shared Library Not Found",
        "nvidia-smi does not find its library libnvidia-ml.so. Install the NVIDIA driver again; "
        "a container needs NVIDIA_DRIVER_CAPABILITIES=compute,utility.",
    ),
    (
        r"Failed to initialize NVML",
        "The NVIDIA driver refuses to answer. Where abm runs in a container, restart that; "
        "else restart the machine.",
    ),
)


@dataclass(frozen=True, slots=True)
class Csv:
    """What a query for cards told: the cards, and lines that are none, such as of a lost card."""

    cards: tuple[CardReading, ...]
    faults: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        return reason_in("\n".join(self.faults)) if self.faults else ""


def query_gpus(fields: Sequence[str] = GPU_FIELDS) -> tuple[str, ...]:
    """The command that `cards_of_csv` reads."""
    return ("nvidia-smi", f"--query-gpu={','.join(fields)}", FORMAT)


def query_apps() -> tuple[str, ...]:
    """The command that `processes_of_csv` reads."""
    return ("nvidia-smi", f"--query-compute-apps={','.join(APP_FIELDS)}", FORMAT)


def reason_in(text: str) -> str:
    """A sentence for what nvidia-smi says instead of an answer."""
    for pattern, sentence in REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            return sentence
    return "nvidia-smi answers in a way that abm does not understand. Run it by hand to see why."


def refused_field(text: str) -> str:
    """The field that an older nvidia-smi does not know; empty if it complains of none."""
    found = BAD_FIELD.search(text)
    return found[1] if found else ""


def cards_of_csv(text: str, fields: Sequence[str] = GPU_FIELDS) -> Csv:
    """From the answer to `query_gpus(fields)`. Raises Unreadable if it tells of no card."""
    if NO_DEVICES.search(text):
        return Csv(())
    cards, faults = [], []
    for line in _lines(text):
        cells = [cell.strip() for cell in line.split(",", len(fields) - 1)]
        row = dict(zip(fields, cells, strict=False))
        if len(cells) < len(fields) or (whole_in(row.get("index")) is None and "index" in fields):
            faults.append(line)
            continue
        cards.append(_card(row))
    if not cards:
        raise Unreadable(reason_in(text), detail=text)
    return Csv(tuple(cards), tuple(faults))


def _card(row: dict[str, str]) -> CardReading:
    index = whole_in(row.get("index"))
    return CardReading(
        uuid=text_in(row.get("uuid")) or f"index-{index}",
        index=index,
        name=text_in(row.get("name")) or "NVIDIA GPU",
        memory_total=bytes_in(row.get("memory.total")),
        memory_used=bytes_in(row.get("memory.used")),
        utilization=number_in(row.get("utilization.gpu")),
        temperature=number_in(row.get("temperature.gpu")),
        power=number_in(row.get("power.draw")),
        power_limit=number_in(row.get("power.limit")),
        driver=text_in(row.get("driver_version")),
        compute_capability=text_in(row.get("compute_cap")),
        is_mig=_switch(row.get("mig.mode.current")),
    )


def _switch(value: str | None) -> bool | None:
    return {"enabled": True, "disabled": False}.get(text_in(value).lower())


def processes_of_csv(text: str) -> tuple[GpuProcess, ...]:
    """From the answer to `query_apps()`. Raises Unreadable."""
    if NO_DEVICES.search(text):
        return ()
    found = []
    for line in _lines(text):
        if line.startswith("No running processes"):
            continue
        cells = [cell.strip() for cell in line.split(",", len(APP_FIELDS) - 1)]
        if len(cells) < len(APP_FIELDS):
            raise Unreadable(reason_in(text), detail=text)
        row = dict(zip(APP_FIELDS, cells, strict=True))
        found.append(
            GpuProcess(
                card=row["gpu_uuid"],
                pid=whole_in(row["pid"]),
                memory=bytes_in(row["used_memory"]),
                name=text_in(row["process_name"]),
            )
        )
    return tuple(found)


def _lines(text: str) -> Iterator[str]:
    return (line for line in text[:LONGEST].splitlines() if line.strip())


def cards_of_xml(text: str) -> tuple[tuple[CardReading, ...], tuple[GpuProcess, ...]]:
    """Cards and their processes from `nvidia-smi -q -x`, the one place that tells CUDA and MIG.

    Raises Unreadable.
    """
    if NO_DEVICES.search(text):
        return (), ()
    if len(text) > LONGEST or "<!ENTITY" in text:
        raise Unreadable(reason_in(""), detail=text)
    try:
        log = ET.fromstring(text.strip())
    except ET.ParseError as error:
        raise Unreadable(reason_in(text), detail=text) from error
    cards, processes = [], []
    for number, gpu in enumerate(log.iter("gpu")):
        card = _card_of(log, gpu, number)
        cards.append(card)
        processes += list(_processes_of(gpu, card.uuid))
    return tuple(cards), tuple(processes)


def _card_of(log: ET.Element, gpu: ET.Element, number: int) -> CardReading:
    def said(*paths: str) -> str:
        return next((text for path in paths if (text := text_in(gpu.findtext(path)))), "")

    power = "gpu_power_readings/"
    return CardReading(
        uuid=said("uuid") or f"index-{number}",
        index=number,
        name=said("product_name") or "NVIDIA GPU",
        memory_total=bytes_in(said("fb_memory_usage/total")),
        memory_used=bytes_in(said("fb_memory_usage/used")),
        utilization=number_in(said("utilization/gpu_util")),
        temperature=number_in(said("temperature/gpu_temp")),
        power=number_in(
            said(
                f"{power}instant_power_draw",
                f"{power}average_power_draw",
                f"{power}power_draw",
                "power_readings/power_draw",
            )
        ),
        power_limit=number_in(
            said(f"{power}current_power_limit", f"{power}power_limit", "power_readings/power_limit")
        ),
        driver=text_in(log.findtext("driver_version")),
        cuda=text_in(log.findtext("cuda_version")),
        is_mig=_switch(said("mig_mode/current_mig")),
        partitions=tuple(_partitions_of(gpu)),
    )


def _partitions_of(gpu: ET.Element) -> Iterator[Partition]:
    """In the order of their numbers; their UUIDs stand in `nvidia-smi -L` alone."""
    for device in gpu.iterfind("mig_devices/mig_device"):
        yield Partition(
            uuid=text_in(device.findtext("uuid")),
            memory_total=bytes_in(device.findtext("fb_memory_usage/total")),
            memory_used=bytes_in(device.findtext("fb_memory_usage/used")),
        )


def _processes_of(gpu: ET.Element, uuid: str) -> Iterator[GpuProcess]:
    for process in gpu.iterfind("processes/process_info"):
        yield GpuProcess(
            card=uuid,
            pid=whole_in(process.findtext("pid")),
            memory=bytes_in(process.findtext("used_memory")),
            name=text_in(process.findtext("process_name")),
        )


def partitions_of_list(text: str) -> dict[str, tuple[Partition, ...]]:
    """By their card's UUID, from `nvidia-smi -L`: profile and UUID, without memory."""
    found: dict[str, list[Partition]] = {}
    parts: list[Partition] = []
    for line in _lines(text):
        if card := LISTED_CARD.match(line):
            parts = found.setdefault(card[3], [])
        elif part := LISTED_PART.match(line):
            parts.append(Partition(uuid=part[2], name=part[1]))
    return {uuid: tuple(rows) for uuid, rows in found.items()}
