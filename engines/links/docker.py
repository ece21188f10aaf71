"""The link to engines in containers: Docker's own events, and a look at Docker now and then."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.db.utils import DatabaseError

from engines.links.figures import tell_from, tell_new
from engines.links.helped_cards import HostCards
from engines.links.host import HostLink
from engines.models import Engine
from engines.observe import engine_ending, host_seen, start_kept
from engines.spec import spec_of
from engines.strays import note_strays
from hosts.deployment import deployment_id
from hosts.link.docker_client import connect_here
from hosts.link.docker_events import ContainerWatch
from hosts.link.docker_samples import Sample
from hosts.link.docker_seen import AllSeen, ContainerGone, ContainerSeen, Seen
from hosts.link.docker_stats import EVERY_SECONDS, ContainerStats, reading_steps
from hosts.link.turns import Turn
from hosts.link.watcher import HostLost, HostSeen
from hosts.models import Host
from hosts.runners.base import EngineRunner
from hosts.runners.docker.stored_files import end_helpers
from hosts.work import machine_of, probe, runner_of

log = logging.getLogger(__name__)

PROBE_SECONDS = 30.0
AWAY_SECONDS = 5.0
LEFT_SECONDS = 3600.0


def _nothing() -> None:
    """There is no watch to end."""


class DockerLink(HostLink):
    """Keeps the rows of a Docker host's engines true."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._is_first = True
        self._probed_at = 0.0
        self._stats = ContainerStats()
        self._ends: Callable[[], None] = _nothing
        """Ends the watch that there is."""
        self._engines_of: dict[str, tuple[int, ...]] = {}
        """By container; none where it is a stray."""
        self._containers: dict[str, ContainerSeen] = {}
        self._are_all_seen = False
        self.ended.on_cancel(lambda: self._ends())

    def start(self) -> None:
        super().start()
        self._keep_cards()

    def _keep_cards(self) -> None:
        self.keep(f"abm-cards-{self.host_pk}", self.cards().steps)

    def cards(self) -> HostCards:
        """What reads the cards that are not this machine's own."""
        return HostCards(self.host_pk, self.connect, self.ended)

    def watch(self, host: Host, turn: Turn) -> Iterator[float]:
        if not self._probe(host):
            yield from self.wait_away(host)
            return
        if self._is_first:
            self._end_leftovers(host)
        self._keep_reading(host)
        self._containers, self._are_all_seen = {}, False
        with runner_of(host) as runner, self._watch(host, turn) as watch:
            for seen in watch.steps():
                if isinstance(seen, float):
                    yield seen
                    continue
                self._take(host, runner, seen)
                is_due = time.monotonic() - self._probed_at >= PROBE_SECONDS
                if is_due or isinstance(seen, HostLost):
                    if not self._probe(host):
                        return
                    self._keep_reading(host)

    @contextlib.contextmanager
    def _watch(self, host: Host, turn: Turn) -> Iterator[ContainerWatch]:
        """Ended with this link, or when it is let go of."""
        connect, name = partial(self.connect, host), machine_of(host)
        watch = ContainerWatch(connect, deployment_id(), turn.wake, host_name=name)
        self._ends = watch.end
        try:
            if self.ended.is_cancelled:
                watch.end()
            yield watch
        finally:
            self._ends = _nothing
            watch.end()

    def connect(self, host: Host) -> Any:
        """A client of its own for the host's Docker, to be closed. Raises RunnerError."""
        return connect_here()

    def wait_away(self, host: Host) -> Iterator[float]:
        """Until it is time to look again whether the host is back."""
        yield from self.pause(AWAY_SECONDS)

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

    def _keep_reading(self, host: Host) -> None:
        """Figures by themselves, as on an old daemon each answer takes a second; and cards."""
        self._keep_cards()
        self.keep(f"abm-figures-{host.host_id}", partial(self._figure_steps, host))

    def _figure_steps(self, host: Host, turn: Turn) -> Iterator[float]:
        # Not all hosts at one moment: while an old daemon thinks, a thread waits.
        yield from self.pause(random.uniform(0, EVERY_SECONDS))
        connect = partial(self.connect, host)
        steps = reading_steps(connect, self._stats, host_name=str(host), told=self._figures)
        with contextlib.closing(steps):
            while not self.ended.is_cancelled:
                yield next(steps)

    def _figures(self, samples: dict[str, Sample]) -> None:
        try:
            self._write_memory(samples)
        except DatabaseError as error:
            log.warning("figures of host %s were not written: %s", self.host_pk, error)

    def _write_memory(self, samples: dict[str, Sample]) -> None:
        for container, sample in samples.items():
            for pk in self._engines_of.get(container, ()):
                if Engine.objects.filter(pk=pk).update(memory_bytes=sample.memory_bytes):
                    tell_new(pk, sample)

    def _note(self, host: Host, seen: ContainerSeen) -> None:
        """Whose figures a container's are."""
        engines = self._engines(host).filter(name=seen.engine)
        keys = self._engines_of[seen.id] = tuple(engines.values_list("pk", flat=True))
        for pk in keys:
            tell_from(pk, partial(self._stats.history, seen.id))

    def _keep(self, host: Host, seen: Seen) -> None:
        """Remember which containers there are, and tell which of them belong to no engine."""
        if isinstance(seen, ContainerSeen):
            self._containers[seen.id] = seen
            self._note(host, seen)
        elif isinstance(seen, ContainerGone):
            self._containers.pop(seen.id, None)
            self._engines_of.pop(seen.id, None)
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
