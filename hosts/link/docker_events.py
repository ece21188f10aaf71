"""Live state of a Docker host: a snapshot first, then the daemon's event stream, for ever.

An event is only a hint to look: what is told is what the daemon says of the container then. So an
event that comes twice, or late, does no harm, and what was missed is found by the next snapshot.
Only an end is told by its event alone, and looked at a moment later: for 40 ms the daemon says
nothing of a container whose network it is taking down.
A watch has no thread: it says how long it waits, and is asked again then or when it rings.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import docker
import requests
from docker.errors import APIError, NotFound

from hosts.link.docker_lines import Lines, event_lines
from hosts.link.docker_seen import (
    AllSeen,
    ContainerGone,
    ContainerSeen,
    Seen,
    container_seen,
)
from hosts.link.watcher import HostLost, HostSeen
from hosts.runners.base import RunnerError
from hosts.runners.docker.errors import UNREADABLE, mapped, translated
from hosts.runners.docker.labels import DEPLOYMENT
from hosts.runners.docker.stream import Line

TELLING = ("create", "start", "die", "oom", "pause", "unpause", "rename", "destroy")
"""Events after which a container is another than before; `stop`, `kill` and `restart` come with
one of these."""
NANO = 10**9
OVERLAP = NANO
"""How far before the last event the stream begins again."""
REMEMBERED = 512
"""Events known by heart, so that a replay is told apart: a daemon keeps 256."""
SETTLE_SECONDS = 0.06
"""How long after its end a container is looked at."""
STEADY_SECONDS = 10.0
"""A connection that held so long was a good one: the next wait is short again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. A daemon that fell silent is noticed after `heartbeat` + `answer` at the latest."""

    heartbeat: float = 5.0
    """Between two questions whether the daemon is there."""
    answer: float = 5.0
    """How long an answer may take."""
    reconcile: float = 60.0
    """Between two snapshots, in case an event was lost."""
    back_off_first: float = 0.5
    back_off_longest: float = 30.0

    def wait_after(self, failures: int) -> float:
        return min(
            math.ldexp(self.back_off_first, min(max(failures - 1, 0), 16)), self.back_off_longest
        )


class ContainerWatch:
    """Tells every container of `deployment`, then each change, until it is ended.

    `connect` makes a client for the watch alone. A connection that fails is told as HostLost, at
    each try, and made again; HostSeen comes after every snapshot and heartbeat. `rung` is called,
    from any thread, when there is something to do before the wait that was said is over.
    """

    def __init__(
        self,
        connect: Callable[[], docker.APIClient],
        deployment: str,
        rung: Callable[[], None],
        *,
        host_name: str = "this machine",
        pace: Pace | None = None,
    ) -> None:
        self._connect, self._host_name, self._pace = connect, host_name, pace or Pace()
        self._label = f"{DEPLOYMENT}={deployment}"
        self._deployment, self._rung = deployment, rung
        self._is_ended = False
        self._lines: Lines | None = None
        self._seen: deque[Seen] = deque()
        """What is to be told."""
        self._known: dict[str, ContainerSeen] = {}
        self._recent: dict[tuple[int, str, str], None] = {}
        self._last = 0
        """When the last event was, in nanoseconds of the host."""
        self._oom_at: dict[str, float] = {}
        self._unsettled: dict[str, float] = {}
        """Containers told as ended by an event, and when to look at each."""

    def end(self) -> None:
        """From any thread: tell nothing more."""
        self._is_ended = True
        if self._lines is not None:
            self._lines.hang_up()
        self._rung()

    def steps(self) -> Iterator[Seen | float]:
        """What is seen; between that, the seconds to wait until it is asked for more."""
        failures = 0
        while not self._is_ended:
            began = time.monotonic()
            try:
                with mapped(self._host_name):
                    yield from self._hold()
            except RunnerError as error:
                self._tell(HostLost(error.message))
            except UNREADABLE as error:
                log.warning("What Docker on %s says is odd", self._host_name, exc_info=True)
                self._tell(HostLost(translated(error, host_name=self._host_name).message))
            yield from self._told()
            failures = 0 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            # Some less, so that many hosts behind one switch do not come at once.
            end = time.monotonic() + self._pace.wait_after(failures) * random.uniform(0.8, 1)
            while not self._is_ended and (left := end - time.monotonic()) > 0:
                yield left

    def _tell(self, seen: Seen) -> None:
        self._seen.append(seen)

    def _told(self) -> Iterator[Seen]:
        while self._seen and not self._is_ended:
            yield self._seen.popleft()

    def _hold(self) -> Iterator[Seen | float]:
        """One connection, until it breaks."""
        with contextlib.closing(self._connect()) as client:
            client.timeout = self._pace.answer  # type: ignore[assignment]  # fractions work
            with self._events(client) as lines:
                self._lines = lines
                yield from self._take_all(client)
                yield from self._follow(client, lines)

    def _events(self, client: docker.APIClient) -> Lines:
        """From where it broke off, or from just before the snapshot, by the daemon's own clock."""
        since = (self._last or _clock_of(client)) - OVERLAP
        filters = {"type": ["container"], "label": [self._label], "event": list(TELLING)}
        params = {
            "since": f"{since // NANO}.{since % NANO:09d}",
            "filters": json.dumps(filters),
        }
        return event_lines(client, params, rung=self._rung)

    def _follow(self, client: docker.APIClient, lines: Lines) -> Iterator[Seen | float]:
        now = time.monotonic()
        ask_at, take_at = now + self._pace.heartbeat, now + self._pace.reconcile
        while not self._is_ended:
            for line in lines.taken():
                self._happened(client, line)
            self._settle(client)
            if time.monotonic() >= take_at:
                yield from self._take_all(client)
                take_at = time.monotonic() + self._pace.reconcile
                ask_at = time.monotonic() + self._pace.heartbeat
            elif time.monotonic() >= ask_at:
                client.ping()
                self._tell(HostSeen())
                ask_at = time.monotonic() + self._pace.heartbeat
            yield from self._told()
            due = min(ask_at, take_at, *self._unsettled.values())
            yield max(due - time.monotonic(), 0.001)

    def _happened(self, client: docker.APIClient, event: Line) -> None:
        actor, action = event.get("Actor") or {}, str(event.get("Action") or "")
        found, at = str(actor.get("ID") or ""), int(event.get("timeNano") or 0)
        if not found or (at, found, action) in self._recent:
            return
        self._recent[at, found, action] = None
        while len(self._recent) > REMEMBERED:
            del self._recent[next(iter(self._recent))]
        self._last = max(self._last, at)
        if action == "oom":
            self._oom_at[found] = at / NANO
        if action == "destroy":
            self._gone(found)
        elif action != "die" or not self._died(found, at, actor.get("Attributes") or {}):
            self._look(client, found)

    def _died(self, found: str, at: int, attributes: Mapping[str, str]) -> bool:
        """Tell the end of its present run by the event; False where that cannot be said."""
        before, when = self._known.get(found), datetime.fromtimestamp(at / NANO, UTC)
        code = str(attributes.get("exitCode", ""))
        if before is None or not before.is_running or not code.isdigit():
            return False
        if before.started_at is None or before.started_at > when:
            return False
        self._tell(before.ended(at=when, exit_code=int(code)))
        self._unsettled[found] = time.monotonic() + SETTLE_SECONDS
        return True

    def _settle(self, client: docker.APIClient) -> None:
        now = time.monotonic()
        for found in [found for found, due in self._unsettled.items() if due <= now]:
            self._look(client, found)

    def _take_all(self, client: docker.APIClient) -> Iterator[Seen]:
        """The snapshot: what differs from what was told is told."""
        there = client.containers(all=True, quiet=True, filters={"label": self._label})
        ids = [str(row["Id"]) for row in there]
        for found in self._known.keys() - set(ids):
            self._gone(found)
        for found in ids:
            if self._is_ended:
                return
            self._look(client, found)
            yield from self._told()
        self._tell(AllSeen(frozenset(one.engine for one in self._known.values() if one.engine)))
        self._tell(HostSeen())
        yield from self._told()

    def _look(self, client: docker.APIClient, found: str) -> None:
        try:
            told = client.inspect_container(found)
        except NotFound:
            self._gone(found)
            return
        except (APIError, requests.RequestException) as error:
            if not isinstance(error, APIError):
                client.ping()  # raises where it is the daemon that does not answer
            # One broken container does not make the host a lost one.
            self._unsettled.pop(found, None)
            log.warning("Docker on %s cannot tell of %s: %s", self._host_name, found, error)
            return
        self._unsettled.pop(found, None)
        seen = container_seen(told, oom_at=self._oom_at.get(found, 0.0))
        if seen.labels.get(DEPLOYMENT) != self._deployment or self._known.get(found) == seen:
            return
        self._known[found] = seen
        self._tell(seen)

    def _gone(self, found: str) -> None:
        self._oom_at.pop(found, None)
        self._unsettled.pop(found, None)
        before = self._known.pop(found, None)
        if before is not None:
            self._tell(ContainerGone(found, before.engine))


def _clock_of(client: docker.APIClient) -> int:
    """What time the host has, in nanoseconds, by whole seconds; its clock may differ from ours."""
    answer = client.get(f"{client.base_url}/v{client.api_version}/_ping", timeout=client.timeout)
    try:
        said = parsedate_to_datetime(answer.headers["Date"])
        return int(said.timestamp()) * NANO
    except (KeyError, ValueError):
        return time.time_ns()
