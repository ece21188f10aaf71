"""A log read by the link for a web without Docker, through a real Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from engines.links import log_door, log_reader
from engines.links.log_reader import LogReader
from engines.models import Engine
from hosts.models import Host
from hosts.runners.base import EngineFailed, HostUnreachable
from jobs.outcome import CancelToken
from tests.abm.apart import wait_until
from tests.engines.factories import make_engine, make_host
from tests.servers import NO_REDIS, has_redis, redis

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def apart(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As web and link see it that share a Redis; the Docker of the link is played."""
    if not has_redis():
        pytest.skip(NO_REDIS)
    with redis() as url:
        settings.REDIS_URL, settings.IS_EMBEDDED = url, False
        log_door.connection.cache_clear()
        monkeypatch.setattr(log_reader, "is_needed", lambda engine: False)
        yield
    log_door.connection.cache_clear()


@pytest.fixture
def link(apart: None) -> Iterator[LogReader]:
    reader = LogReader()
    reader.start()
    yield reader
    reader.ended.cancel()
    reader.join(5)


@pytest.fixture
def engine() -> Engine:
    return make_engine(host=make_host(host_type=Host.Type.DOCKER_LOCAL))


def played(monkeypatch: pytest.MonkeyPatch, follow: object) -> None:
    monkeypatch.setattr(log_reader, "follow_log", follow)


def test_the_lines_come_in_their_order_and_it_ends(
    link: LogReader, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reader, "log_tail", lambda engine, lines: ["a", "b", f"of {lines}"])

    read = log_door.read(engine, tail=7, follows=False, cancel=CancelToken())

    assert list(read) == ["a", "b", "of 7"]


def test_a_line_that_is_written_later_comes_later_and_a_reader_who_goes_ends_it(
    link: LogReader, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, ended = threading.Event(), threading.Event()

    def follow(engine: Engine, *, tail: int, cancel: CancelToken) -> Iterator[str]:
        yield "first"
        written.wait(10)
        yield "second"
        cancel.wait(30)
        ended.set()

    played(monkeypatch, follow)
    read = log_door.read(engine, tail=7, follows=True, cancel=CancelToken())

    assert next(read) == "first"
    written.set()
    assert next(read) == "second"
    read.close()  # type: ignore[attr-defined]
    wait_until(ended.is_set, "the link stops reading", seconds=10)


def test_what_is_wrong_on_the_host_is_told_in_its_words(
    link: LogReader, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(engine: Engine, *, tail: int, cancel: CancelToken) -> Iterator[str]:
        yield "first"
        raise EngineFailed("Its container is gone.")

    played(monkeypatch, follow)
    read = log_door.read(engine, tail=7, follows=True, cancel=CancelToken())

    assert next(read) == "first"
    with pytest.raises(HostUnreachable, match="Its container is gone"):
        next(read)


def test_a_flood_is_cut_and_says_so(
    link: LogReader, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(engine: Engine, *, tail: int, cancel: CancelToken) -> Iterator[str]:
        yield "first"
        time.sleep(0.3)
        yield from (f"line {number}" for number in range(50_000))
        cancel.wait(30)

    played(monkeypatch, follow)
    cancel, lines = CancelToken(), []
    for line in log_door.read(engine, tail=7, follows=True, cancel=cancel):
        lines.append(line)
        if line == "line 49999":
            cancel.cancel()

    assert len(lines) < 20_000
    assert any("lines left out" in line for line in lines)


def test_a_link_that_is_down_is_told_with_the_way_out(
    apart: None, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_door, "SILENT_SECONDS", 0.5)

    with pytest.raises(HostUnreachable, match="The link does not answer"):
        list(log_door.read(engine, tail=7, follows=True, cancel=CancelToken()))


def test_a_redis_that_is_down_is_told_alike(settings: Settings, engine: Engine) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    log_door.connection.cache_clear()

    with pytest.raises(HostUnreachable, match="The link does not answer"):
        list(log_door.read(engine, tail=7, follows=True, cancel=CancelToken()))

    log_door.connection.cache_clear()


def test_who_has_docker_asks_it_and_nobody_else(settings: Settings, engine: Engine) -> None:
    settings.IS_EMBEDDED = True

    assert not log_door.is_needed(engine)
