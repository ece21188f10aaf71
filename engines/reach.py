"""How an engine is spoken to, by what its definition says."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from engines.client import EngineClient, Probe
from engines.links.way import way_to
from engines.models import Engine


def client_of(engine: Engine, *, url: str = "") -> EngineClient:
    """A client for `engine`, to be used in `with`."""
    health = _health(engine)
    probe = None
    if not speaks_contract(engine):
        probe = Probe(health.get("path") or "/health", health.get("expect") or "")
    return EngineClient(url or way_to(engine), probe=probe)


def speaks_contract(engine: Engine) -> bool:
    """Whether it can be tried, tested and asked for models."""
    return bool((engine.definition.get("abm") or {}).get("speaks_contract", True))


def start_seconds(engine: Engine) -> float:
    """How long it may take until it answers: the catalog's word, else ENGINE_START_TIMEOUT."""
    health = _health(engine)
    said = (health.get("start_seconds_by_tag") or {}).get(engine.tag) or health.get("start_seconds")
    return float(said or settings.ENGINE_START_TIMEOUT)


def _health(engine: Engine) -> dict[str, Any]:
    return (engine.definition.get("abm") or {}).get("health") or {}
