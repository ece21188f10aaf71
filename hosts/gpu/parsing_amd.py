"""What amd-smi and rocm-smi print as JSON, as values.

https://rocm.docs.amd.com/projects/amdsmi/en/latest/how-to/amdsmi-cli-tool.html and
https://rocm.docs.amd.com/projects/rocm_smi_lib/en/latest/. Values are `{"value": 47, "unit": "C"}`,
bare numbers or `"N/A"`; newer releases of amd-smi wrap the list of cards in `gpu_data`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hosts.gpu.fields import bytes_in, number_in, text_in, whole_in
from hosts.gpu.values import CardReading, GpuProcess, Unreadable, Vendor

STATIC = ("amd-smi", "static", "--json")
LIST = ("amd-smi", "list", "--json")
METRIC = ("amd-smi", "metric", "--json")
PROCESS = ("amd-smi", "process", "--json")
ROCM = (
    "rocm-smi",
    "--showuniqueid",
    "--showproductname",
    "--showmeminfo",
    "vram",
    "--showuse",
    "--showtemp",
    "--showpower",
    "--showmaxpower",
    "--showdriverversion",
    "--json",
)
UNCLEAR = "{} answers in a way that abm does not understand. Run it by hand to see why."


def json_in(text: str, *, program: str) -> Any:
    """The JSON in an answer that may begin with a line of warning. Raises Unreadable."""
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    try:
        return json.loads(text[min(starts) :]) if starts else _no_json()
    except (ValueError, RecursionError) as error:
        raise Unreadable(UNCLEAR.format(program), detail=text) from error


def _no_json() -> Any:
    raise ValueError("there is no JSON in it")


def _rows(text: str) -> dict[int, Mapping[str, Any]]:
    """The rows of an amd-smi answer by the number of their card."""
    found = json_in(text, program="amd-smi")
    if isinstance(found, Mapping):
        found = found.get("gpu_data")
    if not isinstance(found, list):
        raise Unreadable(UNCLEAR.format("amd-smi"), detail=text)
    rows = {whole_in(row.get("gpu")): row for row in found if isinstance(row, Mapping)}
    return {number: row for number, row in rows.items() if number is not None}


def _at(row: Any, *path: str) -> Any:
    for key in path:
        row = row.get(key) if isinstance(row, Mapping) else None
    return row


def _first(row: Mapping[str, Any], *paths: tuple[str, ...]) -> Any:
    """The first of several places, by release, that holds a value."""
    values = (_at(row, *path) for path in paths)
    known = (value for value in values if text_in(_at(value, "value") if _is_map(value) else value))
    return next(known, None)


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def cards_of_amd(*, listed: str, static: str, metric: str) -> tuple[CardReading, ...]:
    """From `amd-smi list`, `static` and `metric`, each with --json. Raises Unreadable."""
    names, fixed, now = _rows(listed), _rows(static), _rows(metric)
    return tuple(
        _card(number, names.get(number, {}), fixed.get(number, {}), now.get(number, {}))
        for number in sorted({*names, *fixed})
    )


def _card(
    number: int, listed: Mapping[str, Any], fixed: Mapping[str, Any], now: Mapping[str, Any]
) -> CardReading:
    total = _first(now, ("mem_usage", "total_vram")) or _first(fixed, ("vram", "size"))
    hot = (("temperature", "hotspot"), ("temperature", "edge"), ("temperature", "gpu_temp"))
    power = (("power", "socket_power"), ("power", "average_socket_power"))
    serial = text_in(_at(fixed, "asic", "asic_serial")).lower().removeprefix("0x")
    # As ROCm's programs call it, and rocm-smi; cards without a serial have zeros for one.
    unique = f"GPU-{serial:0>16}" if serial.strip("0") else ""
    return CardReading(
        uuid=unique
        or text_in(listed.get("uuid"))
        or text_in(fixed.get("uuid"))
        or f"index-{number}",
        vendor=Vendor.AMD,
        index=number,
        name=text_in(_at(fixed, "asic", "market_name")) or "AMD GPU",
        memory_total=bytes_in(total),
        memory_used=bytes_in(_first(now, ("mem_usage", "used_vram"))),
        utilization=number_in(_first(now, ("usage", "gfx_activity"))),
        temperature=number_in(_first(now, *hot)),
        power=number_in(_first(now, *power)),
        power_limit=number_in(_first(fixed, ("limit", "max_power"), ("limit", "socket_power"))),
        driver=text_in(_first(fixed, ("driver", "version"), ("driver", "driver_version"))),
        compute_capability=text_in(_at(fixed, "asic", "target_graphics_version")),
    )


def processes_of_amd(text: str, cards: tuple[CardReading, ...]) -> tuple[GpuProcess, ...]:
    """From `amd-smi process --json`. Raises Unreadable."""
    uuids = {card.index: card.uuid for card in cards}
    found = []
    for number, row in _rows(text).items():
        for process in row.get("process_list") or ():
            told = process.get("process_info") if isinstance(process, Mapping) else None
            if not isinstance(told, Mapping) or number not in uuids:
                continue  # without processes it says "No running processes detected"
            held = _first(told, ("memory_usage", "vram_mem"), ("vram_mem",), ("mem_usage",))
            found.append(
                GpuProcess(
                    card=uuids[number],
                    pid=whole_in(told.get("pid")),
                    memory=bytes_in(held, unit="B"),
                    name=text_in(told.get("name")),
                )
            )
    return tuple(found)


def cards_of_rocm(text: str) -> tuple[CardReading, ...]:
    """From the command ROCM, for machines without amd-smi. Raises Unreadable."""
    found = json_in(text, program="rocm-smi")
    if not isinstance(found, Mapping):
        raise Unreadable(UNCLEAR.format("rocm-smi"), detail=text)
    driver = text_in(_at(found, "system", "Driver version"))
    cards = []
    for key, row in found.items():
        number = whole_in(str(key).removeprefix("card"))
        if not str(key).startswith("card") or number is None or not isinstance(row, Mapping):
            continue
        cards.append(_rocm_card(number, {str(k).lower(): v for k, v in row.items()}, driver))
    return tuple(sorted(cards, key=lambda card: card.index or 0))


def _rocm_card(number: int, row: Mapping[str, Any], driver: str) -> CardReading:
    """Keys were written in other cases by other releases (`Card series`, `Card Series`)."""
    unique = text_in(row.get("unique id"))
    heat = [f"temperature (sensor {sensor}) (c)" for sensor in ("junction", "edge")]
    power = [
        "current socket graphics package power (w)",
        "average graphics package power (w)",
    ]
    return CardReading(
        uuid=f"GPU-{unique.removeprefix('0x')}" if unique else f"index-{number}",
        vendor=Vendor.AMD,
        index=number,
        name=text_in(row.get("card series")) or "AMD GPU",
        memory_total=bytes_in(row.get("vram total memory (b)"), unit="B"),
        memory_used=bytes_in(row.get("vram total used memory (b)"), unit="B"),
        utilization=number_in(row.get("gpu use (%)")),
        temperature=number_in(_first(row, *((key,) for key in heat))),
        power=number_in(_first(row, *((key,) for key in power))),
        power_limit=number_in(row.get("max graphics package power (w)")),
        driver=driver,
        compute_capability=text_in(row.get("gfx version")),
    )
