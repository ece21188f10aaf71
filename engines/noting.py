"""What the audit and events are told of engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts.audit import note
from accounts.models import User
from engines.models import Engine


def named(engine: Engine) -> dict[str, Any]:
    """What an event names an engine by; it is true still when the row is gone."""
    return {
        "pk": engine.pk,
        "variant": engine.address,
        "kind": engine.engine_type,
        "name": engine.name,
        "is_docker": engine.host.is_docker,
    }


def note_engine(
    verb: str,
    engine: Engine,
    *,
    user: User | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down that `user` did `engine.<verb>`, with what changed (see accounts.audit)."""
    words = f"{engine} on {engine.host}"
    note(f"engine.{verb}", engine, user=user, before=before, after=after, words=words)
