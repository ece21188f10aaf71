"""The link's end of engines/links/log_door.py: reads logs for those who have no Docker."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

import redis
from django.db import close_old_connections
from django.db.utils import DatabaseError

from engines.links.log_door import (
    LOOK_SECONDS,
    WANTED_SECONDS,
    WISHES,
    answer_key,
    connection,
    is_needed,
    wanted_key,
)
from engines.models import Engine
from engines.work import follow_log, log_tail
from hosts.runners.base import RunnerError
from jobs.outcome import CancelToken

log = logging.getLogger(__name__)

SEND_SECONDS = 0.1
SIGN_SECONDS = 2.0
MOST_LINES = 400
"""In one piece; of a flood the first of each piece are left out, and their number is told."""
MOST_PIECES = 100
"""That nobody took; then whoever asked is gone or far too slow."""
AT_ONCE = 64
NO_DOCKER = "The link finds no Docker either. Mount its socket there, or set DOCKER_HOST."


class LogReader(threading.Thread):
    """Answers wishes until `ended`, each in a thread of its own."""

    def __init__(self) -> None:
        super().__init__(name="abm-door", daemon=True)
        self.ended = CancelToken()
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def run(self) -> None:
        while not self.ended.is_cancelled:
            try:
                row = connection().brpop([WISHES], timeout=LOOK_SECONDS)
            except redis.RedisError as error:
                log.info("the door waits for Redis: %s", error)
                self.ended.wait(LOOK_SECONDS)
                continue
            if row is not None and self._places.acquire(blocking=False):
                wish = json.loads(row[1])
                threading.Thread(
                    target=self._answer, args=(wish,), name="abm-door-log", daemon=True
                ).start()

    def _answer(self, wish: dict[str, Any]) -> None:
        answer = _Answer(wish["id"], self.ended)
        sending = threading.Thread(target=answer.send, name="abm-door-send", daemon=True)
        sending.start()
        try:
            answer.ends = self._read(wish, answer)
        finally:
            close_old_connections()
            answer.is_read = True
            self._places.release()

    @staticmethod
    def _read(wish: dict[str, Any], answer: _Answer) -> str:
        """Hand the lines over; the sentence that it ends with, empty if all went well."""
        try:
            close_old_connections()
            engine = Engine.objects.select_related("host").filter(pk=wish["engine"]).first()
            if engine is None:
                return "This engine is gone, and its log with it."
            if is_needed(engine):
                return NO_DOCKER
            if not wish["follows"]:
                answer.add(log_tail(engine, lines=wish["tail"]))
                return ""
            for line in follow_log(engine, tail=wish["tail"], cancel=answer.cancel):
                answer.add([line])
        except RunnerError as error:
            return error.message
        except DatabaseError as error:
            log.warning("a log was not read: %s", error)
            return "The database does not answer. Open the page again in a moment."
        return ""


class _Answer:
    """What was read and not sent yet."""

    def __init__(self, wish: str, ended: CancelToken) -> None:
        self.cancel = CancelToken()
        self.is_read = False
        self.ends = ""
        self._wish, self._ended = wish, ended
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._is_first = True

    def add(self, lines: list[str]) -> None:
        with self._lock:
            self._lines += lines

    def send(self) -> None:
        """Ten pieces a second at most, and a sign of life, as long as somebody wants them."""
        signed_at = asked_at = time.monotonic()
        try:
            while not (self.cancel.is_cancelled or self._ended.is_cancelled):
                is_last = self.is_read
                lines, now = self._taken(), time.monotonic()
                if lines or is_last or now - signed_at > SIGN_SECONDS:
                    signed_at = now
                    self._push({"lines": lines} | ({"ends": self.ends} if is_last else {}))
                if is_last:
                    return
                if now - asked_at > SIGN_SECONDS:
                    asked_at = now
                    if not connection().exists(wanted_key(self._wish)):
                        return
                self._ended.wait(SEND_SECONDS)
        except redis.RedisError as error:
            log.info("a log was not handed on: %s", error)
        finally:
            self.cancel.cancel("Nobody reads this log any more.")

    def _taken(self) -> list[str]:
        with self._lock:
            lines, self._lines = self._lines, []
        left_out = len(lines) - MOST_LINES
        if left_out <= 0 or self.is_read or self._is_first:
            self._is_first = self._is_first and not lines
            return lines
        return [f"[{left_out} lines left out]", *lines[left_out:]]

    def _push(self, piece: dict[str, Any]) -> None:
        key = answer_key(self._wish)
        pipe = connection().pipeline(transaction=False)
        pipe.rpush(key, json.dumps(piece))
        pipe.expire(key, WANTED_SECONDS)
        if pipe.execute()[0] > MOST_PIECES:
            self.cancel.cancel("Nobody reads this log any more.")
