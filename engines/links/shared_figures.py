"""Figures in Redis, for an abm whose link is another process than its web.

A list for each engine, newest last, an hour long and gone an hour after its last sample. A Redis
that is away, or was emptied, costs the chart's past and nothing else. A row is JSON:
[epoch seconds, % of one core, bytes of memory, its limit, received, sent (bytes a second)].
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import redis
from django.conf import settings

from hosts.link.docker_samples import Sample

log = logging.getLogger(__name__)

KEPT_SECONDS = 3600
MOST = 720
ANSWER_SECONDS = 1.0
GAP = timedelta(seconds=16)
"""Three samples that did not come."""
MOMENT = timedelta(milliseconds=1)


def add(engine_pk: int, sample: Sample) -> None:
    """Leave a sample for the others."""
    row = [
        round(sample.at.timestamp(), 1),
        sample.cpu_percent,
        sample.memory_bytes,
        sample.memory_limit,
        sample.received_rate,
        sample.sent_rate,
    ]
    key = _key(engine_pk)
    pipe = _redis().pipeline(transaction=False)
    pipe.rpush(key, json.dumps(row, separators=(",", ":")))
    pipe.ltrim(key, -MOST, -1)
    pipe.expire(key, KEPT_SECONDS)
    try:
        pipe.execute()
    except redis.RedisError as error:
        log.info("Redis did not take a figure of engine %s: %s", engine_pk, error)


def read(engine_pk: int) -> list[Sample]:
    """What was left, oldest first; nothing while Redis is away."""
    try:
        rows = _redis().lrange(_key(engine_pk), 0, -1)
    except redis.RedisError as error:
        log.info("Redis does not tell the figures of engine %s: %s", engine_pk, error)
        return []
    return with_gaps([_sample(json.loads(row)) for row in rows])


def with_gaps(samples: Sequence[Sample]) -> list[Sample]:
    """Where samples are missing, one without figures stands for them, also at the end."""
    told: list[Sample] = []
    ends = [*(sample.at for sample in samples[1:]), datetime.now(UTC)]
    for sample, following in zip(samples, ends, strict=False):
        told.append(sample)
        if following - sample.at > GAP:
            told.append(Sample(sample.at + MOMENT))
    return told


def _sample(row: list[float | None]) -> Sample:
    at, cpu, memory, limit, received, sent = row
    return Sample(
        datetime.fromtimestamp(at or 0, UTC),
        cpu_percent=cpu,
        memory_bytes=None if memory is None else int(memory),
        memory_limit=None if limit is None else int(limit),
        received_rate=received,
        sent_rate=sent,
    )


def _key(engine_pk: int) -> str:
    return f"abm:figures:{engine_pk}"


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    """One pool of connections for this process, which makes them when they are needed."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        health_check_interval=30,
    )
