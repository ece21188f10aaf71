"""Figures in Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of a histogram's buckets."""


@dataclass(slots=True)
class Family:
    """Figures of one name, told apart by labels."""

    name: str
    help: str
    kind: str = "gauge"
    rows: list[tuple[str, Mapping[str, object], float]] = field(default_factory=list)

    def add(self, value: float | None, suffix: str = "", **labels: object) -> None:
        """One figure; None is unknown and left out."""
        if value is not None:
            self.rows.append((suffix, labels, value))


def text_of(families: Iterable[Family]) -> str:
    """All of them, but for those without a figure."""
    lines: list[str] = []
    for family in families:
        if not family.rows:
            continue
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for suffix, labels, value in family.rows:
            lines.append(f"{family.name}{suffix}{_labels(labels)} {value:.10g}")
    return "\n".join([*lines, ""])


def _labels(labels: Mapping[str, object]) -> str:
    if not labels:
        return ""
    return (
        "{" + ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items()) + "}"
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Histogram:
    """How long something took, counted in this process since its start; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[tuple[str, str], ...], list[int]] = {}
        self._sums: dict[tuple[tuple[str, str], ...], float] = {}

    def observe(self, seconds: float, **labels: str) -> None:
        key = tuple(labels.items())
        place = next((i for i, end in enumerate(SECONDS) if seconds <= end), len(SECONDS))
        with self._lock:
            self._counts.setdefault(key, [0] * (len(SECONDS) + 1))[place] += 1
            self._sums[key] = self._sums.get(key, 0.0) + seconds

    def family(self, name: str, help: str) -> Family:
        told = Family(name, help, "histogram")
        with self._lock:
            for key, counts in self._counts.items():
                labels, passed = dict(key), 0
                for end, count in zip((*SECONDS, "+Inf"), counts, strict=True):
                    passed += count
                    told.add(passed, "_bucket", **labels, le=end)
                told.add(self._sums[key], "_sum", **labels)
                told.add(passed, "_count", **labels)
        return told
