"""Licences and warnings that somebody must agree to once for each engine: who did, and when."""

from __future__ import annotations

from django.utils import timezone

from accounts.models import User
from accounts.refused import Refused
from catalog.models import CatalogEntry
from engines.models import Engine
from engines.noting import note_engine
from jobs.events import announce


def consent_of(entry: CatalogEntry) -> str:
    """What must be agreed to before it is installed; empty for most."""
    return str((entry.extra.get("abm") or {}).get("consent") or "")


def note_consent(engine: Engine, entry: CatalogEntry, *, consents: bool, user: User | None) -> None:
    """Write down who agreed to what. Raises Refused CONSENT_MISSING where nobody has yet.

    A text that changed since is asked for again.
    """
    text = consent_of(entry)
    if not text or engine.consent_text == text:
        return
    if not consents:
        raise Refused(
            "CONSENT_MISSING",
            f"{entry} asks to be agreed to: {text} Tick the box under it, then install again.",
            status=400,
        )
    Engine.objects.filter(pk=engine.pk).update(
        consent_text=text, consented_at=timezone.now(), consented_by=user
    )
    announce("engines", "engine.changed", text=f"{user or 'abm'} agreed for {engine}", pk=engine.pk)
    note_engine("consent", engine, user=user, after={"text": text})
    engine.refresh_from_db()
