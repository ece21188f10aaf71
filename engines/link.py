"""The link of an embedded abm: looks at local engines, starts again what crashed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from django.db import close_old_connections, connection
from django.db.utils import DatabaseError

from accounts.refused import Refused
from engines import services
from engines.models import Engine
from engines.observe import engine_seen, host_seen, restart_due, start_kept
from engines.spec import spec_of
from engines.work import log_tail
from hosts.link.watcher import HostLost, HostSeen, Observation, saved_at, watch
from hosts.models import Host
from hosts.runners.base import EngineSpec
from hosts.work import probe, runner_of
from jobs.outcome import CancelToken

log = logging.getLogger(__name__)

LOG_TAIL = 40
RETRY_SECONDS = 2.0


class Link(threading.Thread):
    """One thread that keeps the rows of local engines true."""

    def __init__(self) -> None:
        super().__init__(name="abm-link", daemon=True)
        self.ended = threading.Event()
        self._cancel = CancelToken()
        self._is_first = True
        self._saved: dict[int, float] = {}

    def run(self) -> None:
        while not self.ended.is_set():
            close_old_connections()
            try:
                self._watch()
            except (DatabaseError, OSError) as error:
                log.warning("the link starts again: %s", error)
                self.ended.wait(RETRY_SECONDS)
        connection.close()

    def _watch(self) -> None:
        host = Host.objects.filter(host_type=Host.Type.SUBPROCESS, is_enabled=True).first()
        if host is None:
            self.ended.wait(RETRY_SECONDS)
            return
        probe(host)
        looks = watch(lambda: runner_of(host), lambda: self._specs(host), self._cancel)
        for seen in looks:
            if self.ended.is_set():
                self._cancel.cancel()
                return
            if isinstance(seen, Observation):
                self._observed(host, seen)
            elif isinstance(seen, HostSeen):
                self._alive(host)
            elif isinstance(seen, HostLost):
                probe(host)

    def _specs(self, host: Host) -> Iterator[EngineSpec]:
        """Those that a host can tell something of; also the moment for what is due each second."""
        close_old_connections()
        engines = Engine.objects.filter(host=host, attached_url="").exclude(
            state__in=[Engine.State.ABSENT, Engine.State.INSTALLING, Engine.State.UNINSTALLING]
        )
        for engine in engines.select_related("host"):
            self._restart_if_saved(engine)
            yield spec_of(engine)
        if self._is_first:
            # After the first look, so that engines that still run are not started again.
            self._is_first = False
            start_kept()
        restart_due()

    def _observed(self, host: Host, seen: Observation) -> None:
        engine = Engine.objects.select_related("host").filter(host=host, name=seen.name).first()
        if engine is None:
            return
        tail = ""
        if not seen.status.is_running and engine.is_alive:
            tail = "\n".join(log_tail(engine, lines=LOG_TAIL))
        engine_seen(engine, seen.status, log_tail=tail)

    def _alive(self, host: Host) -> None:
        host.refresh_from_db()
        if not host.is_enabled:
            self._cancel.cancel()
            self._cancel = CancelToken()
            return
        probe(host)
        host_seen(host)

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
