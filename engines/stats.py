"""What an engine's container uses, as its charts read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hosts.link.docker_samples import Sample


@dataclass(frozen=True, slots=True)
class Stats:
    """The samples of the last hour, oldest first."""

    samples: Sequence[Sample]

    @property
    def latest(self) -> Sample | None:
        """The newest; None when there is none or it stopped."""
        newest = self.samples[-1] if self.samples else None
        return None if newest is None or newest.is_gap else newest

    @property
    def history(self) -> str:
        """JSON for `static/charts.js`: a row of `row_of` for each sample."""
        return json.dumps([row_of(sample) for sample in self.samples], separators=(",", ":"))

    @property
    def figures(self) -> str:
        """JSON of the newest alone, to be appended; empty when there is none."""
        return json.dumps(row_of(self.latest)) if self.latest else ""


def row_of(sample: Sample) -> list[float | None]:
    """Epoch seconds, % of one core, bytes of memory, bytes received and sent a second."""
    figures = (sample.cpu_percent, sample.memory_bytes, sample.received_rate, sample.sent_rate)
    return [
        round(sample.at.timestamp(), 1),
        *(None if figure is None else round(figure, 1) for figure in figures),
    ]
