"""Figures that the link leaves for web: an hour of them, with gaps, and a Redis that is away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from engines.links import shared_figures
from hosts.link.docker_samples import Sample
from tests.servers import NO_REDIS, has_redis, redis


@pytest.fixture
def shared(settings: Settings) -> Iterator[None]:
    if not has_redis():
        pytest.skip(NO_REDIS)
    with redis() as url:
        settings.REDIS_URL = url
        shared_figures._redis.cache_clear()
        yield
    shared_figures._redis.cache_clear()


def sample(seconds_ago: float, **figures: float) -> Sample:
    return Sample(datetime.now(UTC) - timedelta(seconds=seconds_ago), **figures)  # type: ignore[arg-type]


def test_what_was_left_is_read_in_its_order(shared: None) -> None:
    shared_figures.add(3, sample(10, cpu_percent=150.5, memory_bytes=2_000_000_000))
    shared_figures.add(3, sample(5, cpu_percent=3.0, memory_bytes=1, received_rate=7.0))
    shared_figures.add(4, sample(5, memory_bytes=9))

    first, last = shared_figures.read(3)

    assert (first.cpu_percent, first.memory_bytes) == (150.5, 2_000_000_000)
    assert (last.memory_bytes, last.received_rate, last.sent_rate) == (1, 7.0, None)


def test_no_more_than_an_hour_is_kept(shared: None) -> None:
    for number in range(shared_figures.MOST + 3):
        shared_figures.add(3, sample(0, memory_bytes=number))

    kept = [one.memory_bytes for one in shared_figures.read(3)]

    assert (len(kept), kept[0]) == (shared_figures.MOST, 3)


def test_where_samples_are_missing_there_is_a_gap() -> None:
    told = shared_figures.with_gaps([sample(60, memory_bytes=1), sample(2, memory_bytes=2)])

    assert [one.is_gap for one in told] == [False, True, False]


def test_an_engine_that_stopped_ends_with_a_gap() -> None:
    assert shared_figures.with_gaps([sample(60, memory_bytes=1)])[-1].is_gap


def test_a_redis_that_is_away_costs_the_figures_alone(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    shared_figures._redis.cache_clear()

    shared_figures.add(3, sample(0, memory_bytes=1))
    assert shared_figures.read(3) == []

    shared_figures._redis.cache_clear()
