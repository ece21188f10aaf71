"""What goes on for a while, through the whole ASGI application: waiting, following, passing on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as django_settings

from abm.asgi import make_application
from engines import api_through, log_stream
from engines.client import shared_transport
from engines.functional import PHRASE_FILE
from engines.models import Engine
from hosts.models import Host
from hosts.runners.fake import FakeEngine, FakeHost, FakeRunner
from hosts.runners.registry import RUNNERS
from jobs.models import Job
from tests.api.conftest import Program, program_of
from tests.engines.factories import make_engine, make_host
from tests.engines.speaking import endless_engine, speaking_engine
from tests.pages.factories import make_job, make_user

LONG = 5.0
"""Seconds after which something is broken."""


@pytest.fixture
def key(transactional_db: None) -> str:
    return program_of(make_user("operator")).key


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost()
    monkeypatch.setitem(RUNNERS, Host.Type.DOCKER_LOCAL, lambda setup: FakeRunner(fake))
    return fake


@pytest.fixture(autouse=True)
def own_transport() -> Iterator[None]:
    """The client to engines lives on one loop, and each test has one of its own."""
    shared_transport.cache_clear()
    yield
    shared_transport.cache_clear()


def call(app: Any, key: str, method: str, path: str, body: bytes = b"") -> ApplicationCommunicator:
    path, _, query = path.partition("?")
    headers = [(b"host", b"testserver"), (b"authorization", f"Bearer {key}".encode())]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [*headers, (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
    }
    return ApplicationCommunicator(app, scope)


async def ask(talk: ApplicationCommunicator, body: bytes = b"") -> int:
    """Send the request; the status of its answer."""
    await talk.send_input({"type": "http.request", "body": body})
    start = await talk.receive_output(LONG)
    return int(start["status"])


async def whole(talk: ApplicationCommunicator) -> bytes:
    body = b""
    while True:
        message = await talk.receive_output(LONG)
        body += message["body"]
        if not message.get("more_body"):
            return body


async def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not await sync_to_async(holds)():
        assert time.monotonic() < end, "what was waited for did not happen"
        await asyncio.sleep(0.02)


def is_free() -> bool:
    """Whether nobody uses the only engine there is."""
    return Engine.objects.get().busy_until is None


def test_more_wait_than_there_are_threads_and_others_are_answered(key: str) -> None:
    job = make_job("running")

    async def scene() -> None:
        app = make_application()
        count = django_settings.WEB_THREADS * 3
        waiting = [call(app, key, "GET", f"/api/jobs/{job.pk}/wait") for _ in range(count)]
        for talk in waiting:
            await talk.send_input({"type": "http.request", "body": b""})
        other = call(app, key, "GET", "/api/health")
        assert await ask(other) == 200
        assert all([await talk.receive_nothing(0.01) for talk in waiting[:3]])
        await sync_to_async(Job.objects.update)(status="succeeded")
        for talk in waiting:
            start = await talk.receive_output(LONG)
            assert start["status"] == 200
            assert json.loads(await whole(talk))["job"]["status"] == "succeeded"

    async_to_sync(scene)()


def test_who_waits_and_goes_is_let_go(key: str) -> None:
    job = make_job("running")

    async def scene() -> None:
        talk = call(make_application(), key, "GET", f"/api/jobs/{job.pk}/wait")
        await talk.send_input({"type": "http.request", "body": b""})
        assert await talk.receive_nothing(0.1)
        await talk.send_input({"type": "http.disconnect"})
        await talk.wait(LONG)

    async_to_sync(scene)()


def test_a_wait_that_takes_too_long_answers_with_the_job(key: str) -> None:
    job = make_job("running")

    async def scene() -> None:
        talk = call(make_application(), key, "GET", f"/api/jobs/{job.pk}/wait?timeout=1")
        assert await ask(talk) == 202
        assert json.loads(await whole(talk))["job"]["jobId"] == job.pk

    async_to_sync(scene)()


def test_a_log_is_followed_line_by_line_until_the_reader_goes(key: str, fake: FakeHost) -> None:
    host = make_host(host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL)
    make_engine(host=host, name="voice")
    log = ["one", "two", "three"]
    fake.engines["voice"] = FakeEngine(log=log)
    seats = log_stream._seats._value

    async def scene() -> None:
        path = "/api/engines/voice:docker:local/logs?follow=true&tail=2"
        talk = call(make_application(), key, "GET", path)
        assert await ask(talk) == 200
        assert (await talk.receive_output(LONG))["body"] == b"two\n"
        assert (await talk.receive_output(LONG))["body"] == b"three\n"
        log.append("späť")
        assert (await talk.receive_output(LONG))["body"] == "späť\n".encode()
        assert log_stream._seats._value == seats - 1
        await talk.send_input({"type": "http.disconnect"})
        await talk.wait(LONG)
        await until(lambda: log_stream._seats._value == seats)

    async_to_sync(scene)()


def test_a_part_of_a_log_is_read(key: str, fake: FakeHost) -> None:
    host = make_host(host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL)
    make_engine(host=host, name="voice")
    fake.engines["voice"] = FakeEngine(log=[f"line {number}" for number in range(10)])
    path = "/api/engines/voice:docker:local/logs"

    assert Program(key).get(f"{path}?tail=2").json()["lines"] == ["line 8", "line 9"]
    assert Program(key).get(f"{path}?tail=2&skip=3").json()["lines"] == ["line 5", "line 6"]
    assert Program(key).get(f"{path}?skip=10").json()["count"] == 0


def test_speech_passes_through_and_the_engine_counts_as_used(key: str) -> None:
    with speaking_engine() as speaking:
        host = make_host(host_id="local")
        engine = make_engine(host=host, name="voice", state=Engine.State.RUNNING, url=speaking.url)
        body = json.dumps({"text": "Hello", "language": "en"}).encode()

        async def scene() -> None:
            talk = call(make_application(), key, "POST", "/api/engines/voice:local/generate")
            assert await ask(talk, body) == 200
            assert await whole(talk) == PHRASE_FILE.read_bytes()
            await until(is_free)
            await shared_transport().aclose()

        async_to_sync(scene)()

    engine.refresh_from_db()
    assert engine.used_at is not None


def test_an_engine_is_free_again_when_its_caller_has_gone(key: str) -> None:
    with speaking_engine() as speaking:
        speaking.answers.clear()
        host = make_host(host_id="local")
        make_engine(host=host, name="voice", state=Engine.State.RUNNING, url=speaking.url)

        async def scene() -> None:
            talk = call(make_application(), key, "POST", "/api/engines/voice:local/generate")
            await talk.send_input({"type": "http.request", "body": b"{}"})
            await until(lambda: not is_free())
            await talk.send_input({"type": "http.disconnect"})
            await talk.wait(LONG)
            await until(is_free)
            await shared_transport().aclose()

        async_to_sync(scene)()


def test_an_engine_that_is_gone_is_a_502_in_words(key: str) -> None:
    with speaking_engine() as speaking:
        url = speaking.url
    make_engine(host=make_host(host_id="local"), name="voice", state=Engine.State.RUNNING, url=url)

    async def scene() -> None:
        talk = call(make_application(), key, "POST", "/api/engines/voice/generate")
        assert await ask(talk, b"{}") == 502
        said = await whole(talk)
        assert json.loads(said)["detail"] == "[ENGINE_UNREACHABLE]"
        assert url.encode() not in said
        await until(is_free)

    async_to_sync(scene)()


def test_a_refusal_without_end_is_not_read_on(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_through, "MAX_REFUSAL_BYTES", 1_000)
    with endless_engine(status=500) as endless:
        host = make_host(host_id="local")
        make_engine(host=host, name="voice", state=Engine.State.RUNNING, url=endless.url)

        async def scene() -> None:
            talk = call(make_application(), key, "POST", "/api/engines/voice/generate")
            assert await ask(talk, b"{}") == 502
            assert json.loads(await whole(talk))["detail"].startswith("[ENGINE_REFUSED]")
            await until(is_free)
            await shared_transport().aclose()

        async_to_sync(scene)()


def test_an_engine_that_does_not_run_is_not_used(key: str) -> None:
    make_engine(host=make_host(host_id="local"), name="voice")

    answer = Program(key).post("/api/engines/voice/generate", {"text": "x"})

    assert answer.status_code == 409
    assert answer.json()["detail"] == "[ENGINE_NOT_RUNNING]variantId:voice:local"
