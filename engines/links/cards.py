"""Reading this machine's graphics cards again and again, and which engines hold them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from django.db import close_old_connections, connection
from django.db.utils import DatabaseError

from engines.links.holders import engines_by_pid
from engines.models import Engine
from engines.spec import spec_of
from hosts.gpu.asking import Asker
from hosts.gpu.holding import Share, shares_of
from hosts.gpu.reading import CardReader, without_programs
from hosts.gpu.values import Inventory
from hosts.gpus import are_gpus_asked, is_helped, write_gpus
from hosts.models import Host
from hosts.runners.base import RunnerError
from hosts.runners.docker.system import read_system
from hosts.work import runner_of
from jobs.outcome import CancelToken

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
OFTEN_SECONDS = 5.0
SELDOM_SECONDS = 30.0
NEVER = float("-inf")


class Cards(ABC):
    """Cards that are read every five seconds while an engine runs or somebody looks, else every
    thirty."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = NEVER

    def look(self) -> None:
        """Read the cards if that is due; what fails is logged."""
        try:
            self.look_or_fail()
        except (DatabaseError, OSError, RunnerError) as error:
            log.warning("cards were not read or not written down: %s", error)

    def look_or_fail(self) -> None:
        passed = self._clock() - self._read_at
        if passed < OFTEN_SECONDS or not (hosts := self.hosts()):
            return
        if passed < SELDOM_SECONDS and not _is_wanted(hosts):
            return
        self._read_at = self._clock()
        self.read(hosts)

    @abstractmethod
    def hosts(self) -> list[Host]:
        """Those that have these cards."""

    @abstractmethod
    def read(self, hosts: list[Host]) -> None:
        """Read the cards now, for these hosts."""


class CardsLink(Cards, threading.Thread):
    """This machine's, in a thread of its own, because a driver that hangs may hold it for as long
    as it likes."""

    def __init__(
        self, reader: CardReader | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        Cards.__init__(self, clock)
        threading.Thread.__init__(self, name="abm-cards", daemon=True)
        self.ended = CancelToken()
        self._reader = reader or CardReader(
            Asker(), without=lambda: without_programs(read_system())
        )

    def run(self) -> None:
        while not self.ended.is_cancelled:
            close_old_connections()
            self.look()
            connection.close()  # not held by a thread that mostly waits
            self.ended.wait(LOOK_SECONDS)

    def hosts(self) -> list[Host]:
        return hosts_here()

    def read(self, hosts: list[Host]) -> None:
        inventory = self._reader.read()
        write(hosts, inventory, shares_of(inventory, engines_by_pid()))


def write(hosts: list[Host], inventory: Inventory, shares: Mapping[str, Sequence[Share]]) -> None:
    """Keep what was read, with the names of those engines that hold something."""
    keys = {share.holder for rows in shares.values() for share in rows if share.holder}
    engines = Engine.objects.filter(pk__in=keys).only("display_name")
    names = {engine.pk: engine.display_name for engine in engines}
    for host in hosts:
        write_gpus(host, inventory, shares, names=names)


def hosts_here() -> list[Host]:
    """The hosts whose cards are this machine's: its processes, and its Docker if that is here."""
    local = [Host.Type.SUBPROCESS, Host.Type.DOCKER_LOCAL]
    return [
        host
        for host in Host.objects.filter(is_enabled=True, host_type__in=local)
        if not host.is_docker or (host.facts.get("is_on_this_machine") and not is_helped(host))
    ]


def _is_wanted(hosts: list[Host]) -> bool:
    alive = Engine.objects.filter(host__in=hosts, state__in=Engine.ALIVE)
    return alive.exists() or are_gpus_asked(hosts)


def processes_on(host: Host) -> dict[int, int]:
    """The engine's key by the number of each of its processes, as that host counts them."""
    found: dict[int, int] = {}
    engines = Engine.objects.filter(host=host, state__in=Engine.ALIVE, attached_url="")
    with runner_of(host) as runner:
        for engine in engines.select_related("host"):
            with contextlib.suppress(RunnerError):  # it ended meanwhile
                found |= dict.fromkeys(runner.processes(spec_of(engine)), engine.pk)
    return found
