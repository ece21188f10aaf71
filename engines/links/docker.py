"""The link to engines in containers: Docker's own events, and a look at Docker now and then."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from functools import partial
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.models import QuerySet
from django.db.utils import DatabaseError

from engines.links.cards import CardsLink
from engines.links.figures import tell_from, tell_new
from engines.links.helped_cards import HelpedCardsLink
from engines.links.host import HostLink
from engines.models import Engine
from engines.observe import engine_ending, host_seen, start_kept
from engines.spec import spec_of
from engines.strays import note_strays
from hosts.deployment import deployment_id
from hosts.link.docker_client import connect_here
from hosts.link.docker_events import watch_containers
from hosts.link.docker_samples import Sample
from hosts.link.docker_seen import AllSeen, ContainerGone, ContainerSeen, Seen
from hosts.link.docker_stats import ContainerStats, keep_reading
from hosts.link.watcher import HostLost, HostSeen
from hosts.models import Host
from hosts.runners.base import EngineRunner
from hosts.runners.docker.stored_files import end_helpers
from hosts.work import machine_of, probe, runner_of

log = logging.getLogger(__name__)

PROBE_SECONDS = 30.0
AWAY_SECONDS = 5.0
LEFT_SECONDS = 3600.0


class DockerLink(HostLink):
    """Keeps the rows of a Docker host's engines true."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._is_first = True
        self._probed_at = 0.0
        self._stats = ContainerStats()
        self._reader: threading.Thread | None = None
        self._names: dict[str, str] = {}
        self._containers: dict[str, ContainerSeen] = {}
        self._are_all_seen = False

    def run(self) -> None:
        self.cards_link().start()
        try:
            super().run()
        finally:
            self.ended.cancel()

    def cards_link(self) -> CardsLink:
        """What reads the cards that are not this machine's own."""
        return HelpedCardsLink(self.host_pk, self.connect, self.ended)

    def watch(self, host: Host) -> None:
        if not self._probe(host):
            self.wait_away(host)
            return
        if self._is_first:
            self._end_leftovers(host)
        self._read_figures(host)
        self._containers, self._are_all_seen = {}, False
        with runner_of(host) as runner:
            connect = partial(self.connect, host)
            for seen in watch_containers(
                connect, deployment_id(), self.ended, host_name=machine_of(host)
            ):
                close_old_connections()
                self._take(host, runner, seen)
                is_due = time.monotonic() - self._probed_at >= PROBE_SECONDS
                if (is_due or isinstance(seen, HostLost)) and not self._probe(host):
                    return
                # Many hosts are quiet at one time, and each open database takes its share of
                # memory (SQLite's schema) or of the server's connections.
                connection.close()

    def connect(self, host: Host) -> Any:
        """A client of its own for the host's Docker, to be closed. Raises RunnerError."""
        return connect_here()

    def wait_away(self, host: Host) -> None:
        """Until it is time to look again whether the host is back."""
        self.ended.wait(AWAY_SECONDS)

    def _end_leftovers(self, host: Host) -> None:
        """At abm's start: helpers that a killed one left on the daemon."""
        # Where the workers are other processes, they may have one in use just now.
        age = 0.0 if settings.IS_EMBEDDED else LEFT_SECONDS
        with contextlib.closing(self.connect(host)) as client:
            end_helpers(client, deployment_id(), older_than=age)

    def _probe(self, host: Host) -> bool:
        """Read its facts and state; whether engines can run there."""
        host.refresh_from_db()
        self._probed_at = time.monotonic()
        return host.is_enabled and probe(host).is_usable

    def _read_figures(self, host: Host) -> None:
        """In a thread of its own: on an old daemon each answer takes a second."""
        if self._reader is None or not self._reader.is_alive():
            arguments = (partial(self.connect, host), self._stats, self.ended)
            options = {"host_name": str(host), "told": self._figures}
            self._reader = threading.Thread(
                target=keep_reading,
                args=arguments,
                kwargs=options,
                name=f"abm-figures-{host.host_id}",
                daemon=True,
            )
            self._reader.start()

    def _figures(self, samples: dict[str, Sample]) -> None:
        close_old_connections()
        try:
            self._write_memory(samples)
        except DatabaseError as error:
            log.warning("figures of host %s were not written: %s", self.host_pk, error)

    def _write_memory(self, samples: dict[str, Sample]) -> None:
        for container, sample in samples.items():
            name = self._names.get(container, "")
            engine = Engine.objects.filter(host_id=self.host_pk, name=name).only("pk").first()
            if engine is not None:
                Engine.objects.filter(pk=engine.pk).update(memory_bytes=sample.memory_bytes)
                tell_new(engine.pk, sample)

    def _note(self, host: Host, seen: ContainerSeen) -> None:
        """Whose figures a container's are."""
        self._names[seen.id] = seen.engine
        for engine in self._engines(host).filter(name=seen.engine):
            tell_from(engine.pk, partial(self._stats.history, seen.id))

    def _keep(self, host: Host, seen: Seen) -> None:
        """Remember which containers there are, and tell which of them belong to no engine."""
        if isinstance(seen, ContainerSeen):
            self._containers[seen.id] = seen
            self._note(host, seen)
        elif isinstance(seen, ContainerGone):
            self._containers.pop(seen.id, None)
        elif isinstance(seen, AllSeen):
            self._are_all_seen = True
            for one in self._containers.values():
                self._note(host, one)  # one that was adopted since has an engine now
        else:
            return
        if self._are_all_seen:
            are_all = isinstance(seen, AllSeen)
            note_strays(host, self._containers.values(), are_all=are_all)

    def _take(self, host: Host, runner: EngineRunner, seen: Seen) -> None:
        self._stats.take(seen)
        self._keep(host, seen)
        if isinstance(seen, ContainerSeen | ContainerGone):
            for engine in self._engines(host).filter(name=seen.engine):
                if isinstance(seen, ContainerSeen) and not seen.is_settled:
                    engine_ending(engine)  # Docker does not answer while it tidies up
                else:
                    self.observed(host, engine.name, runner.status(spec_of(engine)))
        elif isinstance(seen, AllSeen):
            for engine in self._engines(host).exclude(name__in=seen.engines):
                self.observed(host, engine.name, runner.status(spec_of(engine)))
            if self._is_first:
                # After the first look, so that engines that still run are not started again.
                self._is_first = False
                start_kept(host)
        elif isinstance(seen, HostSeen):
            host_seen(host)

    @staticmethod
    def _engines(host: Host) -> QuerySet[Engine]:
        engines = Engine.objects.filter(host=host, attached_url="").select_related("host")
        return engines.exclude(state=Engine.State.ABSENT)
