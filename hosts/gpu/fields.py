"""Single values of what the vendors' programs print; what cannot be read is None."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

MIB = 2**20
UNITS = {"B": 1, "KB": 2**10, "MB": MIB, "GB": 2**30, "KIB": 2**10, "MIB": MIB, "GIB": 2**30}
"""All three vendors write MB and mean MiB."""
NOTHING = {"", "N/A", "NA", "NONE", "NULL", "UNKNOWN", "NOT SUPPORTED", "NOT AVAILABLE"}
MOST = 10**15


def text_in(value: Any) -> str:
    """Words as they are; empty for the many ways of saying that there are none."""
    text = "" if value is None else str(value).strip()
    bare = text.strip("[]").strip().upper()
    is_error = bare.startswith(("ERR!", "UNKNOWN ERROR", "GPU REQUIRES", "GPU IS LOST"))
    return "" if bare in NOTHING or is_error or bare.startswith("INSUFFICIENT") else text


def number_in(value: Any) -> float | None:
    """`47`, `47.0`, `47 C`, `{"value": 47, "unit": "C"}`; anything else is unknown."""
    if isinstance(value, Mapping):
        value = value.get("value")
    if isinstance(value, bool):
        return None
    found = re.match(r"[-+]?\d+(\.\d+)?", text_in(value))
    number = float(found[0]) if found else None
    return number if number is not None and math.isfinite(number) and abs(number) < MOST else None


def whole_in(value: Any) -> int | None:
    """The same for numbers that count something."""
    number = number_in(value)
    return None if number is None else int(number)


def bytes_in(value: Any, *, unit: str = "MIB") -> int | None:
    """A size in bytes; `unit` counts where the value names none."""
    said = value.get("unit") if isinstance(value, Mapping) else ""
    if not isinstance(value, Mapping):
        words = text_in(value).split()
        said = words[1] if len(words) > 1 else ""
    factor = UNITS.get(str(said or unit).upper())
    number = number_in(value)
    if number is None or number < 0 or factor is None:
        return None
    size = int(number * factor)
    return size if size < 2**62 else None
