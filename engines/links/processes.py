"""The link to engines that run as processes: a look at each once a second."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from accounts.refused import Refused
from engines import services
from engines.links.figures import ProcessFigures
from engines.links.host import HostLink
from engines.models import Engine
from engines.observe import host_seen, start_kept
from engines.spec import spec_of
from hosts.link.turns import Turn
from hosts.link.watcher import HostLost, HostSeen, Observation, saved_at, watch
from hosts.models import Host
from hosts.runners.base import EngineSpec
from hosts.work import probe, runner_of

log = logging.getLogger(__name__)

BUSY_WITH_FILES = (
    Engine.State.ABSENT,
    Engine.State.INSTALLING,
    Engine.State.UNINSTALLING,
)


class ProcessLink(HostLink):
    """Keeps the rows of local engines true, and restarts those whose developer saved a file."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._is_first = True
        self._saved: dict[int, float] = {}
        self._figures = ProcessFigures()

    def watch(self, host: Host, turn: Turn) -> Iterator[float]:
        probe(host)
        looks = watch(lambda: runner_of(host), lambda: self._specs(host), self.ended)
        for seen in looks:
            if isinstance(seen, float):
                yield from self.pause(seen)
            elif isinstance(seen, Observation):
                engine = self.observed(host, seen.name, seen.status)
                if engine is not None:
                    self._figures.take(engine.pk, seen.status)
            elif isinstance(seen, HostSeen):
                host.refresh_from_db()
                if not host.is_enabled:
                    return
                probe(host)
                host_seen(host)
            elif isinstance(seen, HostLost):
                probe(host)

    def _specs(self, host: Host) -> Iterator[EngineSpec]:
        """Those that a host can tell something of."""
        engines = Engine.objects.filter(host=host, attached_url="")
        for engine in engines.exclude(state__in=BUSY_WITH_FILES).select_related("host"):
            self._restart_if_saved(engine)
            yield spec_of(engine)
        if self._is_first:
            # After the first look, so that engines that still run are not started again.
            self._is_first = False
            start_kept(host)

    def _restart_if_saved(self, engine: Engine) -> None:
        """For its developer: a saved file restarts an engine that runs, or failed, in place."""
        folder = engine.definition.get("folder")
        if not engine.restarts_on_change or not folder:
            return
        saved = saved_at(Path(folder))
        before = self._saved.setdefault(engine.pk, saved)
        if saved <= before:
            return
        self._saved[engine.pk] = saved
        if engine.is_alive or engine.state == Engine.State.FAILED:
            try:
                services.restart_engine(engine, user=None)
            except Refused as refused:
                log.info("%s is not restarted: %s", engine, refused.message)
