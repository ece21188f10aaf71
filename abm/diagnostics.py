"""A bundle to hand to somebody who helps: how this abm is and what failed, without secrets.

Every secret that abm knows is looked up first, decrypted, and struck out of every text, because one
may have found its way into a log line or an error. So is what merely looks like one.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import connection

from abm.metrics import families
from abm.notify.models import NotifyTarget
from abm.readiness import readiness
from abm.system import SECRET as SECRET_SETTINGS
from abm.system import settings_lines, system_lines
from abm.system_page import work_lines
from accounts.audit import HIDDEN
from accounts.audit import SECRET as SOUNDS_SECRET
from accounts.secrets import SecretUnreadable, decrypted
from engines.models import Engine
from hosts.models import Host, RegistryLogin, RemoteAccess
from jobs.exposition import text_of
from jobs.models import Event, Job
from jobs.presence import present

JOBS, LINES, EVENTS = 60, 200, 500
SHORTEST = 4
"""A shorter secret would strike out half of every word; there it is the word itself that hides."""
TOKENS = re.compile(r"gAAAAA[\w-]{20,}={0,2}")
IN_ADDRESS = re.compile(r"(\w+://[^\s/@:]*):[^\s/@]+@")
KEYS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S
)
README = """\
How this abm is, and what failed lately. Secrets that abm knows were struck out (•••).
Names, addresses and error messages are in here: look through it before you hand it on.
The log of abm itself is not: it is where you started it (docker compose logs).
"""


def bundle() -> bytes:
    """A zip of a few JSON files."""
    strike = _Striker(_secrets())
    files: dict[str, Any] = {
        "system.json": _system(),
        "settings.json": {line.name: [line.value, line.source] for line in settings_lines()},
        "hosts.json": [_host(host) for host in Host.objects.order_by("pk")],
        "engines.json": [_engine(row) for row in Engine.objects.select_related("host")],
        "jobs.json": [_job(job) for job in _jobs()],
        "events.json": [
            [event.created_at, event.topic, event.name, event.ids, event.text]
            for event in Event.objects.all()[:EVENTS]
        ],
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("README.txt", README)
        made.writestr("metrics.txt", strike.text(text_of(families())))
        for name, value in files.items():
            clean = strike.value(json.loads(json.dumps(value, default=str)))
            made.writestr(name, json.dumps(clean, indent=1, ensure_ascii=False))
    return out.getvalue()


def _system() -> dict[str, Any]:
    lines = [*system_lines(), *work_lines()]
    return {
        "checks": readiness(),
        "lines": {line.name: line.value for line in lines},
        "processes": [
            [row.role, row.machine, row.version, row.is_standby, row.started_at, row.seen_at]
            for row in present()
        ],
        "tables": _tables(),
    }


def _tables() -> dict[str, int]:
    """How many rows each table has."""
    with connection.cursor() as cursor:
        counts = {}
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT COUNT(*) FROM {connection.ops.quote_name(name)}")
            counts[name] = int(cursor.fetchone()[0])
    return counts


def _host(host: Host) -> dict[str, Any]:
    shown = "host_id display_name host_type ssh_url is_enabled state state_text facts gpu_text "
    shown += "gpu_detail seen_at last_checked_at"
    return {name: getattr(host, name) for name in shown.split()}


def _engine(engine: Engine) -> dict[str, Any]:
    shown = "name engine_type tag version image platform image_id uses_gpu gpus ports mounts "
    shown += "limits state state_at state_text seen_at error_code error error_detail port device "
    shown += "loaded_model keep_running is_enabled crash_count restart_at parameters test_text"
    told = {name: getattr(engine, name) for name in shown.split()}
    variables = sorted({*engine.environment, *engine.secrets})
    return {"host": engine.host.host_id, **told, "variables": variables}


def _jobs() -> list[Job]:
    """Those that are open or did not succeed, the newest first."""
    return list(Job.objects.exclude(status=Job.Status.SUCCEEDED).select_related("host")[:JOBS])


def _job(job: Job) -> dict[str, Any]:
    shown = "pk action status subject steps percent waiting_for error_code error error_detail "
    shown += "worker created_at started_at heartbeat_at finished_at"
    lines = job.lines.order_by("-number").values_list("number", "text")[:LINES]
    told = {name: getattr(job, name) for name in shown.split()}
    return {**told, "lines": [[number, text] for number, text in reversed(lines)]}


class _Striker:
    """Takes secrets out of texts, also as they stand in an address."""

    def __init__(self, secrets: Iterator[str]) -> None:
        known = {part for secret in secrets for part in _written_as(secret)}
        self._known = sorted((one for one in known if len(one) >= SHORTEST), key=len, reverse=True)

    def text(self, text: str) -> str:
        text = KEYS.sub(HIDDEN, TOKENS.sub(HIDDEN, text))
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        return IN_ADDRESS.sub(rf"\1:{HIDDEN}@", text)

    def value(self, value: Any, name: str = "") -> Any:
        if name and isinstance(value, str) and SOUNDS_SECRET.search(name):
            return HIDDEN if value else value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        return value


def _written_as(secret: str) -> Iterator[str]:
    """A secret as it may be met: whole, by lines, in an address, in JSON."""
    for text in (secret, *secret.splitlines()):
        text = text.strip()
        yield from (text, quote(text, safe=""), unquote(text), json.dumps(text)[1:-1])


def _secrets() -> Iterator[str]:
    """Every secret that abm has, in clear."""
    for name in SECRET_SETTINGS:
        value = getattr(settings, name)
        yield from value if isinstance(value, list) else [value]
    for address in (settings.DATABASE_URL, settings.REDIS_URL):
        yield urlsplit(address).password or ""
    yield str(settings.DATABASES["default"].get("PASSWORD") or "")
    yield from map(_clear, RegistryLogin.objects.values_list("password", flat=True))
    for keys in RemoteAccess.objects.values_list("key", "pending_key"):
        yield from map(_clear, keys)
    for target in NotifyTarget.objects.all():
        address = _clear(target.url)
        yield from (address, _clear(target.secret), urlsplit(address).password or "")
        yield from (part for part in re.split(r"[/:@?&=]+", address) if len(part) > 7)
    for data in Authenticator.objects.values_list("data", flat=True):
        for text in _strings(data):
            yield from (text, _clear(text))
    for engine in Engine.objects.only("environment", "secrets"):
        yield from map(_clear, engine.secrets.values())
        yield from _sounding(engine.environment)
    for params in Job.objects.exclude(params={}).values_list("params", flat=True)[:5_000]:
        yield from (_clear(text) for text in _strings(params) if text.startswith("gAAAAA"))
        yield from _sounding(params)


def _sounding(values: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(text) for name, text in values.items() if SOUNDS_SECRET.search(str(name)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _clear(token: str) -> str:
    try:
        return decrypted(token) if token else ""
    except SecretUnreadable:
        return ""
