"""What the settings page says of this abm: settings with secrets masked, and the system."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from abm.filesystem import file_system_of

SHOWN = (
    "DATA_DIR HOST PORT PUBLIC_URL ALLOWED_HOSTS DEBUG LOG_LEVEL LOG_FORMAT SQLITE_JOURNAL "
    "ADMIN_USERNAME ENGINES_DIR DEFAULT_ENGINE_RUNNER ENGINE_PORT_START ENGINE_PORT_MAX "
    "ENGINE_HTTP_TIMEOUT ENGINE_HEALTH_CHECK_TIMEOUT ENGINE_START_TIMEOUT ENGINE_STOP_TIMEOUT "
    "CATALOG_URL CATALOG_SYNC MAX_UPLOAD_MB JOBS_PER_HOST WORKER_THREADS WEB_THREADS "
    "JOB_HEARTBEAT_SECONDS JOB_LOST_SECONDS JOB_SWEEP_SECONDS TIME_ZONE"
)
SECRET = ("SECRET_KEY", "ADMIN_PASSWORD", "DATABASE_URL", "REDIS_URL")


@dataclass(frozen=True, slots=True)
class Line:
    """A name and its value, as text."""

    name: str
    value: str


def settings_lines() -> list[Line]:
    """Every setting; of secrets only whether they are set."""
    lines = [Line(name, _text(getattr(settings, name))) for name in SHOWN.split()]
    lines += [Line(name, "set" if getattr(settings, name) else "not set") for name in SECRET]
    return sorted(lines, key=lambda line: line.name)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def system_lines() -> list[Line]:
    """The facts of this abm."""
    disk = shutil.disk_usage(settings.DATA_DIR)
    lines = [
        Line("Version", settings.VERSION),
        Line("Compatible with Audiobook Maker", settings.COMPATIBLE_VERSION),
        Line("Mode", "embedded: one process" if settings.IS_EMBEDDED else "with Redis"),
        Line("Database", connection.vendor),
        Line("Data", str(settings.DATA_DIR)),
        Line("File system", file_system_of(Path(settings.DATA_DIR)) or "unknown"),
        Line("Free", f"{disk.free / 1e9:.0f} GB of {disk.total / 1e9:.0f} GB"),
    ]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode")
            lines.append(Line("Journal", str(cursor.fetchone()[0])))
    return lines
