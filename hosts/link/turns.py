"""Lasting work for many hosts in few threads: one that waits holds none.

Each piece of work is an iterator that does what is due and yields the seconds to its next turn. A
turn may wait for its host, in bounded time; other hosts do not wait for it, since there are as
many threads as turns under way. Most take milliseconds, so that a few threads do for 50 hosts.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum, auto

from django.db import close_old_connections, connections

FEW = 4
"""Threads that are there as long as anything is, and in use as long as no host holds one up."""
PATIENCE_SECONDS, LONG_PATIENCE_SECONDS = 0.05, 0.5
"""A turn that takes longer waits for its host, and others must not wait for it: there must be more
threads. While this process computes, turns take long by themselves and more would not help."""
BUSY_SHARE = 0.5
IDLE_SECONDS = 2.0
"""A thread beyond those few that had no turn for so long ends."""

log = logging.getLogger(__name__)


_Inbox = queue.SimpleQueue["Turn"]
"""Through which a thread is given its next turn."""


class _State(Enum):
    WAITS = auto()
    DUE = auto()
    UNDER_WAY = auto()
    CALLED = auto()
    """Under way, and woken meanwhile: due again at once."""
    OVER = auto()


class Turn:
    """One piece of lasting work, whose turn comes again and again until it ends by itself."""

    def __init__(self, turns: Turns, name: str) -> None:
        self.name = name
        self._turns = turns
        self._steps: Iterator[float] = iter(())
        self._state = _State.WAITS
        self._at = 0.0
        """When it is due."""
        self._over = threading.Event()

    @property
    def is_alive(self) -> bool:
        return not self._over.is_set()

    def wake(self) -> None:
        """From any thread: its turn comes now. Never waits."""
        self._turns.wake(self)

    def join(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        return self._over.wait(seconds)


class Turns:
    """All lasting work of this process; its methods from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Turn]] = []
        """By time; one that was woken earlier is there twice, and counts where it is due."""
        self._number = itertools.count()
        self._due: deque[Turn] = deque()
        self._idle: list[_Inbox] = []
        """Of the threads without a turn; the one that had one last is taken first."""
        self._busy: dict[_Inbox, float] = {}
        """When each of the other threads began with its turn."""
        self._patience = PATIENCE_SECONDS
        self._looked_at = self._computed = 0.0
        """When the clock looked last, and what this process had computed until then."""
        self._clock: threading.Thread | None = None

    @property
    def thread_count(self) -> int:
        """Without the clock's."""
        return len(self._busy) + len(self._idle)

    def begin(self, name: str, work: Callable[[Turn], Iterator[float]]) -> Turn:
        """Its first turn comes at once."""
        turn = Turn(self, name)
        turn._steps = work(turn)
        with self._changed:
            if self._clock is None:
                self._clock = threading.Thread(target=self._mind, name="turns", daemon=True)
                self._clock.start()
            self._make_due(turn)
        return turn

    def wake(self, turn: Turn) -> None:
        with self._changed:
            if turn._state is _State.UNDER_WAY:
                turn._state = _State.CALLED
            elif turn._state is _State.WAITS:
                self._make_due(turn)

    def _make_due(self, turn: Turn) -> None:
        turn._state = _State.DUE
        self._due.append(turn)
        if not self._employ():
            self._changed.notify()

    def _employ(self) -> bool:
        """Give what is due to a thread, if only a few get on with theirs; whether that was done."""
        now = time.monotonic()
        if sum(now - began < self._patience for began in self._busy.values()) >= FEW:
            return False
        if self._idle:
            inbox = self._idle.pop()
            inbox.put(self._due.popleft())
        else:
            inbox = queue.SimpleQueue()
            is_spare = self.thread_count >= FEW
            args = (inbox, is_spare)
            threading.Thread(target=self._work, args=args, name="turn", daemon=True).start()
        self._busy[inbox] = now
        return True

    def _mind(self) -> None:
        """The clock: makes due what has waited long enough, and sees that threads suffice."""
        with self._changed:
            while True:
                now = time.monotonic()
                self._judge(now)
                while self._waiting and self._waiting[0][0] <= now:
                    at, _, turn = heapq.heappop(self._waiting)
                    if turn._state is _State.WAITS and turn._at == at:
                        self._make_due(turn)
                waits = self._waiting[0][0] - now if self._waiting else None
                for _ in range(min(len(self._due), FEW)):
                    self._employ()
                if self._due:
                    waits = min(waits or PATIENCE_SECONDS, PATIENCE_SECONDS)
                self._changed.wait(waits)

    def _judge(self, now: float) -> None:
        """How long a turn may take before its thread counts as held up by a host."""
        passed, computed = now - self._looked_at, time.process_time()
        if passed >= PATIENCE_SECONDS:
            is_busy = computed - self._computed > passed * BUSY_SHARE
            self._patience = LONG_PATIENCE_SECONDS if is_busy else PATIENCE_SECONDS
            self._looked_at, self._computed = now, computed

    def _work(self, inbox: _Inbox, is_spare: bool) -> None:
        """A thread: one turn after the other."""
        while (turn := self._next(inbox)) is not None:
            turn._state = _State.UNDER_WAY
            seconds = _seconds_after(turn)
            # An open database takes its share of memory (SQLite's schema) or of the server's.
            connections.close_all() if is_spare else close_old_connections()
            with self._changed:
                self._put_back(turn, seconds)
        connections.close_all()

    def _next(self, inbox: _Inbox) -> Turn | None:
        """The turn to do now; None for a thread that is not needed any more."""
        with self._changed:
            if self._due:
                self._busy[inbox] = time.monotonic()
                return self._due.popleft()
            del self._busy[inbox]
            self._idle.append(inbox)
        while True:
            with contextlib.suppress(queue.Empty):
                return inbox.get(timeout=IDLE_SECONDS)
            with self._changed:
                if inbox in self._idle and self.thread_count > FEW:
                    self._idle.remove(inbox)
                    return None

    def _put_back(self, turn: Turn, seconds: float | None) -> None:
        if seconds is None:
            turn._state = _State.OVER
            turn._over.set()
        elif turn._state is _State.CALLED or seconds <= 0:
            turn._state = _State.DUE
            self._due.append(turn)  # taken by this very thread, unless another one is quicker
        else:
            turn._state, turn._at = _State.WAITS, time.monotonic() + seconds
            heapq.heappush(self._waiting, (turn._at, next(self._number), turn))
            if self._waiting[0][2] is turn:
                self._changed.notify()


def _seconds_after(turn: Turn) -> float | None:
    """Do its turn; seconds to its next one, None at its end."""
    try:
        return next(turn._steps)
    except StopIteration:
        return None
    except Exception:  # as a thread ends that raised: whoever began it looks after it
        log.exception("%s broke off", turn.name)
        return None


turns = Turns()
