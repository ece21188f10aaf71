"""How long a start may take: longer as long as the engine fetches its model, which it does once."""

from __future__ import annotations

import time

import humanize

from engines.models import Engine
from engines.reach import start_seconds
from engines.state import change_state
from hosts.runners.base import EngineRunner, EngineSpec
from jobs.work import JobRun

S = Engine.State
LOOK_SECONDS = 2.0
LEAST_BYTES = 5_000_000
"""Less is talk, not a model."""


class Patience:
    """A deadline that moves while bytes come in, and tells how many."""

    def __init__(self, run: JobRun, runner: EngineRunner, spec: EngineSpec, engine: Engine) -> None:
        self._run, self._runner, self._spec, self.engine = run, runner, spec, engine
        self.seconds = start_seconds(engine)
        self._deadline = time.monotonic() + self.seconds
        self._looked_at = time.monotonic()
        self._first: int | None = None
        self._last = 0

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._deadline

    @property
    def downloaded(self) -> int:
        """Bytes since the start; 0 where it is too little to be a model."""
        fetched = self._last - (self._first or 0)
        return fetched if fetched >= LEAST_BYTES else 0

    def look(self) -> None:
        """See now and then whether anything came."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        received = self._runner.received(self._spec)
        if received is None:
            return
        if self._first is None:
            self._first = self._last = received
            return
        has_grown, self._last = received > self._last, max(received, self._last)
        if has_grown and self.downloaded:
            self._deadline = now + self.seconds
            self._tell()

    def _tell(self) -> None:
        size = humanize.naturalsize(self.downloaded)
        self._run.step("model", "Download its model")
        self._run.line(f"{size} so far")
        change_state(self.engine, S.DOWNLOADING, text=f"{size} so far.")

    def report(self) -> None:
        """After the first load: a model that does not lie in its folder is fetched every time."""
        folder = self._spec.models_dir
        if not self.downloaded or folder is None or self._spec.container is None:
            return
        place = folder / self._spec.name
        if place.is_dir() and not any(place.iterdir()):
            self._run.line(
                f"It fetched {humanize.naturalsize(self.downloaded)}, but {place} is still empty: "
                "its models lie inside the container and are fetched again after an update. "
                "Mount a volume where the engine keeps them (Settings, Volumes)."
            )
