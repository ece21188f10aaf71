"""Engines that run elsewhere, under a debugger: abm asks them and leaves their life alone."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from catalog.models import EngineType
from engines.client import EngineClient
from engines.contract import Health, ModelList
from engines.models import Engine
from engines.noting import named, note_engine
from engines.rows import write_models
from hosts.models import Host
from hosts.runners.base import EngineFailed
from jobs.events import announce

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def attach_engine(url: str, *, host: Host, user: User | None) -> Engine:
    """Show an engine that its developer started by hand; only on this machine's loopback.

    Raises Refused URL_INVALID, ENGINE_UNREACHABLE or ENGINE_NAME_TAKEN.
    """
    require_role(user, User.Role.ADMIN)
    url = _checked(url)
    info, models, health = _asked(url)
    name = str(info.get("name", ""))
    kind = str(info.get("engineType", ""))
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,50}", name) or kind not in EngineType.values:
        raise Refused(
            "ENGINE_INFO_INVALID",
            f"What answers at {url} has no valid name and type in /info; check it with "
            f"manage.py conform {url}",
            status=502,
        )
    try:
        with transaction.atomic():
            engine = Engine.objects.create(
                host=host,
                name=f"{name}-attached",
                display_name=f"{info.get('displayName') or name} (attached)"[:100],
                engine_type=kind,
                definition=definition_of_info(info),
                attached_url=url,
                url=url,
                port=None,
                state=Engine.State.RUNNING,
                device=health.device or "",
                loaded_model=health.current_engine_model or "",
            )
            write_models(engine, models)
            announce("engines", "engine.changed", text=f"{engine} was attached", pk=engine.pk)
            note_engine("attach", engine, user=user, after={"url": url})
    except IntegrityError as error:
        raise Refused(
            "ENGINE_NAME_TAKEN", f"{name} is already attached here; detach it first."
        ) from error
    return engine


def _asked(url: str) -> tuple[dict[str, Any], ModelList, Health]:
    """What an engine says of itself. Raises Refused ENGINE_UNREACHABLE."""
    try:
        with EngineClient(url) as client:
            return client.info(timeout=3), client.models(timeout=3), client.health(timeout=3)
    except EngineFailed as error:
        raise Refused(
            "ENGINE_UNREACHABLE", f"No engine answered at {url}: {error.message}", status=502
        ) from error


def _checked(url: str) -> str:
    parts = urlsplit(url.strip())
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or parts.hostname not in LOOPBACK or not port:
        raise Refused(
            "URL_INVALID",
            "Give the address of an engine on this machine, such as http://127.0.0.1:8766.",
            status=400,
        )
    return f"http://{parts.netloc}"


def definition_of_info(info: dict[str, Any]) -> dict[str, Any]:
    upstream = info.get("upstream") or {}
    return {
        "source": "attached",
        "description": info.get("description") or "",
        "license": upstream.get("license") or "",
        "supported_languages": info.get("supportedLanguages") or [],
        "constraints": info.get("constraints") or {},
        "capabilities": info.get("capabilities") or {},
        "parameters": info.get("parameters") or {},
        "models": info.get("models") or [],
        "default_model": info.get("defaultModel") or "",
    }


@transaction.atomic
def detach_engine(engine: Engine, *, user: User | None) -> None:
    """Forget an attached engine; it goes on running."""
    require_role(user, User.Role.ADMIN)
    if not engine.attached_url:
        raise Refused("NOT_ATTACHED", f"{engine} was installed here; uninstall it instead.")
    told = named(engine)
    text = f"{engine} was detached"
    note_engine("detach", engine, user=user)
    engine.delete()
    announce("engines", "engine.removed", text=text, **told)
