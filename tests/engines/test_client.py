"""Asking an engine that goes on answering: it costs neither memory nor time without end."""

from __future__ import annotations

from typing import Any

import pytest

from engines import client, conform_asking
from engines.client import EngineClient, EngineUnreachable
from engines.conform_asking import Asker
from hosts.runners.base import EngineFailed
from tests.engines.speaking import endless_engine


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_WORDS_BYTES", 100_000)
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 1_000_000)
    monkeypatch.setattr(conform_asking, "MAX_ANSWER_BYTES", 1_000_000)


@pytest.mark.parametrize(
    ("verb", "most"),
    [("health", "0.1 MB"), ("models", "0.1 MB"), ("info", "0.1 MB"), ("post", "1 MB")],
)
def test_an_answer_without_end_is_given_up(small: None, verb: str, most: str) -> None:
    words: dict[str, Any] = {"path": "/generate"} if verb == "post" else {}
    with (
        endless_engine() as engine,
        EngineClient(engine.url) as asking,
        pytest.raises(EngineFailed, match=f"answered .* with more than {most}"),
    ):
        getattr(asking, verb)(timeout=5.0, **words)

    assert engine.sent < 20_000_000  # what was on its way besides


def test_an_error_without_end_is_given_up(small: None) -> None:
    with (
        endless_engine(status=500) as engine,
        EngineClient(engine.url) as asking,
        pytest.raises(EngineFailed, match="more than"),
    ):
        asking.health(timeout=5.0)


def test_an_answer_that_comes_drop_by_drop_is_not_waited_for() -> None:
    with (
        endless_engine(piece=b" ", pause=0.002) as engine,
        EngineClient(engine.url) as asking,
        pytest.raises(EngineUnreachable, match=r"did not answer /health within 0\.02 s"),
    ):
        asking.health(timeout=0.02)


def test_the_examination_gives_up_an_answer_without_end(small: None) -> None:
    with endless_engine() as engine, EngineClient(engine.url) as asking:
        said = Asker(asking._http).ask("GET", "/health")

    assert said.status == 0
    assert "more than 1 MB" in said.text
