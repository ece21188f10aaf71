"""Reading the logs of containers from a process that has no Docker: the link reads, Redis carries.

Web has no Docker socket in a composed abm. It leaves a wish in a list; the link answers in a list
of that wish, newest last, and says something every two seconds even if the engine does not. Who
asked keeps a key alive; when it is gone, or nobody empties the list, the link stops.
Wish: {"id", "engine", "tail", "follows"}. Piece: {"lines"} or {"ends": a sentence or ""}.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from functools import lru_cache

import redis
from django.conf import settings

from engines.models import Engine
from hosts.models import Host
from hosts.runners.base import HostUnreachable, RunnerError
from hosts.runners.docker.connection import candidates
from jobs.outcome import CancelToken

WISHES = "abm:door"
WANTED_SECONDS = 10
"""How long a wish holds that nobody renews."""
LOOK_SECONDS = 1.0
SILENT_SECONDS = 10.0
NO_ANSWER = (
    "The link does not answer, so the log cannot be read just now. See whether its process runs "
    "(docker compose ps), then open the page again."
)


def is_needed(engine: Engine) -> bool:
    """Whether this process cannot ask the engine's Docker itself."""
    if settings.IS_EMBEDDED or engine.host.host_type != Host.Type.DOCKER_LOCAL:
        return False
    try:
        return not any(address.is_there for address in candidates())
    except RunnerError:
        return False  # asked for itself, it says what is wrong with DOCKER_HOST


def read(engine: Engine, *, tail: int, follows: bool, cancel: CancelToken) -> Iterator[str]:
    """The last `tail` lines and, if it follows, each new one until `cancel`; raises RunnerError."""
    wish = uuid.uuid4().hex
    store = connection()
    try:
        store.set(wanted_key(wish), 1, ex=WANTED_SECONDS)
        said = {"id": wish, "engine": engine.pk, "tail": tail, "follows": follows}
        store.lpush(WISHES, json.dumps(said))
        store.expire(WISHES, WANTED_SECONDS)
        yield from _pieces(store, wish, cancel)
    except redis.RedisError as error:
        raise HostUnreachable(NO_ANSWER, detail=str(error)) from error
    finally:
        with contextlib.suppress(redis.RedisError):
            store.delete(wanted_key(wish), answer_key(wish))


def _pieces(store: redis.Redis, wish: str, cancel: CancelToken) -> Iterator[str]:
    heard_at = renewed_at = time.monotonic()
    while not cancel.is_cancelled:
        row = store.blpop([answer_key(wish)], timeout=LOOK_SECONDS)
        now = time.monotonic()
        if row is not None:
            heard_at = now
            piece = json.loads(row[1])
            yield from piece.get("lines", ())
            if "ends" in piece:
                if piece["ends"]:
                    raise HostUnreachable(piece["ends"])
                return
        elif now - heard_at > SILENT_SECONDS:
            raise HostUnreachable(NO_ANSWER)
        if now - renewed_at > WANTED_SECONDS / 3:
            renewed_at = now
            store.expire(wanted_key(wish), WANTED_SECONDS)


def wanted_key(wish: str) -> str:
    return f"abm:door:{wish}:wanted"


def answer_key(wish: str) -> str:
    return f"abm:door:{wish}:answer"


@lru_cache(maxsize=1)
def connection() -> redis.Redis:
    """One pool of connections for this process, which makes them when they are needed."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=LOOK_SECONDS * 5, socket_connect_timeout=LOOK_SECONDS
    )
