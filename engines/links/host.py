"""What the links of all kinds of hosts share: work that begins again whatever happens."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from django.db.utils import DatabaseError

from engines.links import holders
from engines.models import Engine
from engines.observe import engine_seen, is_last_seen_alive
from engines.work import log_tail
from hosts.link.turns import Turn, turns
from hosts.models import Host
from hosts.runners.base import EngineStatus, RunnerError
from jobs.outcome import CancelToken

log = logging.getLogger(__name__)

LOG_TAIL = 40
RETRY_SECONDS = 2.0


class HostLink(ABC):
    """Watches one host from `start` until it is ended, whenever its turn comes."""

    def __init__(self, host: Host) -> None:
        self.host_pk = host.pk
        self.ended = CancelToken()
        self._name = f"abm-link-{host.host_id}"
        self._turns: dict[str, Turn] = {}

    def start(self) -> None:
        """Returns at once."""
        self.keep(self._name, self.steps)

    def keep(self, name: str, work: Callable[[Turn], Iterator[float]]) -> Turn:
        """A piece of work that waits without the others; begun again if it broke off."""
        turn = self._turns.get(name)
        if turn is None or not turn.is_alive:
            turn = self._turns[name] = turns.begin(name, work)
            self.ended.on_cancel(turn.wake)
        return turn

    @property
    def is_alive(self) -> bool:
        return self._turns[self._name].is_alive

    def join(self, seconds: float) -> None:
        """Wait for its end, which `ended` brings."""
        self._turns[self._name].join(seconds)

    def steps(self, turn: Turn) -> Iterator[float]:
        try:
            while not self.ended.is_cancelled:
                try:
                    host = Host.objects.filter(pk=self.host_pk, is_enabled=True).first()
                    if host is None:
                        break
                    yield from self.watch(host, turn)
                except (DatabaseError, OSError, RunnerError) as error:
                    log.warning("the link to host %s starts again: %s", self.host_pk, error)
                    yield from self.pause(RETRY_SECONDS)
        finally:
            self.ended.cancel()

    def pause(self, seconds: float) -> Iterator[float]:
        """Wait so long, or until this is ended."""
        end = time.monotonic() + seconds
        while not self.ended.is_cancelled and (left := end - time.monotonic()) > 0:
            yield left

    @abstractmethod
    def watch(self, host: Host, turn: Turn) -> Iterator[float]:
        """Keep the host's rows true until `ended`, or as long as that is possible."""

    def observed(self, host: Host, name: str, status: EngineStatus) -> Engine | None:
        """Write down how the engine called `name` is, with its last words if it died."""
        engine = Engine.objects.select_related("host").filter(host=host, name=name).first()
        if engine is None:
            return None
        holders.note(engine.pk, status)
        tail = ""
        if not status.is_running and is_last_seen_alive(engine):
            tail = "\n".join(log_tail(engine, lines=LOG_TAIL))
        engine_seen(engine, status, log_tail=tail)
        return engine
