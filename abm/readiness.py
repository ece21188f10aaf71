"""Whether this abm can do its work: database, tables, Redis, and the processes beside web."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import redis
from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection
from django.db.utils import DatabaseError

from abm.schema import is_behind
from jobs.models import Process
from jobs.presence import present

log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
EMBEDDED_THREADS = {"worker": "abm-worker", "link": "abm-link"}

OK = "ok"


def readiness() -> dict[str, str]:
    """`ok`, or what is wrong in a few words, of each part; without names and addresses."""
    return {name: check() for name, check in CHECKS.items()}


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("not ready: the database does not answer: %s", str(error).strip())
        return "does not answer"
    return OK


class _Migrations:
    """Once they are all there they stay: reading them from the disk takes 50 ms."""

    is_done = False

    def __call__(self) -> str:
        if self.is_done:
            return OK
        try:
            self.is_done = not is_behind()
        except CommandError:
            return "newer than this abm"
        except DatabaseError:
            return "unknown"
        return OK if self.is_done else "missing"


def _redis() -> str:
    if settings.IS_EMBEDDED:
        return OK
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
    )
    try:
        client.ping()
    except redis.RedisError as error:
        log.warning("not ready: Redis does not answer: %s", error)
        return "does not answer"
    finally:
        client.close()
    return OK


def _worker() -> str:
    return _one_of(Process.Role.WORKER)


def _link() -> str:
    return _one_of(Process.Role.LINK)


def _one_of(role: Process.Role) -> str:
    """Whether a process with this role works just now."""
    if settings.IS_EMBEDDED:
        alive = {thread.name for thread in threading.enumerate()}
        return OK if EMBEDDED_THREADS[role] in alive else "none works"
    try:
        works = present().filter(role=role, is_standby=False).exists()
    except DatabaseError:
        return "unknown"
    return OK if works else "none works"


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _Migrations(),
    "redis": _redis,
    "worker": _worker,
    "link": _link,
}
