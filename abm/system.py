"""What the settings page says of this abm: settings with secrets masked, and the system."""

from __future__ import annotations

import os
import platform
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.db.models import Sum

from abm.filesystem import file_system_of
from abm.templatetags.show import size
from engines.models import Engine

SHOWN = (
    "ALIVE_FILE "
    "DATA_DIR HOST PORT PUBLIC_URL ALLOWED_HOSTS DEBUG LOG_LEVEL LOG_FORMAT SQLITE_JOURNAL "
    "ADMIN_USERNAME AUDIT_DAYS HSTS_SECONDS TRUSTED_PROXIES PROXY_USER_HEADER PASSWORD_SIGN_IN "
    "MAIL_FROM OIDC_URL OIDC_NAME OIDC_CLIENT_ID OIDC_SCOPES OIDC_NAME_CLAIM OIDC_GROUPS_CLAIM "
    "OIDC_ADMIN_GROUPS OIDC_OPERATOR_GROUPS OIDC_VIEWER_GROUPS OIDC_OTHERS "
    "BACKUP_DIR BACKUP_HOURS BACKUP_KEEP ENGINES_DIR DEFAULT_ENGINE_RUNNER ENGINE_PORT_START "
    "ENGINE_PORT_MAX "
    "DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_ENGINE_HOST ENGINE_NETWORK "
    "ENGINE_IDLE_MINUTES ENGINE_SHELL MOUNT_ROOTS IDLE_ENGINE_CHECK_INTERVAL "
    "ENGINE_HTTP_TIMEOUT ENGINE_HEALTH_CHECK_TIMEOUT ENGINE_START_TIMEOUT ENGINE_STOP_TIMEOUT "
    "CATALOG_URL CATALOG_SYNC UPDATE_CHECK_HOURS RELEASES_URL RELEASE_CHECK "
    "MAX_UPLOAD_MB MAX_IMAGE_MB JOBS_PER_HOST "
    "API_READS_PER_MINUTE API_WRITES_PER_MINUTE CORS_ORIGINS "
    "JOBS_PER_REGISTRY WORKER_THREADS WORKER_DRAIN_SECONDS WEB_THREADS JOB_HEARTBEAT_SECONDS "
    "JOB_LOST_SECONDS JOB_SWEEP_SECONDS TIME_ZONE"
)
SECRET = (
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "ADMIN_PASSWORD",
    "OIDC_CLIENT_SECRET",
    "MAIL_URL",
    "MAIL_PASSWORD",
    "DATABASE_URL",
    "REDIS_URL",
    "METRICS_TOKEN",
    "BACKUP_PASSPHRASE",
)
"""The addresses too, because a password may stand in them."""
EMBEDDED_THREADS = {"abm-worker": "worker", "abm-link": "link", "abm-tail": "tail"}


@dataclass(frozen=True, slots=True)
class Line:
    """A name and its value, as text, and where the value comes from."""

    name: str
    value: str
    source: str = ""


def settings_lines() -> list[Line]:
    """Every setting by name; of secrets only whether they are set."""
    lines = [Line(name, _text(getattr(settings, name)), _source(name)) for name in SHOWN.split()]
    for name in SECRET:
        value = "set, not shown" if getattr(settings, name) else ""
        lines.append(Line(name, value, _source(name)))
    return sorted(lines, key=lambda line: line.name)


def _source(name: str) -> str:
    """`.env` is read into the environment, so the two cannot be told apart afterwards."""
    if os.environ.get(name):
        return "environment or .env"
    return f"the file of {name}_FILE" if os.environ.get(f"{name}_FILE") else "default"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def system_lines() -> list[Line]:
    """The facts of this abm."""
    folder = Path(settings.DATA_DIR)
    lines = [
        Line("Version", settings.VERSION),
        Line("Works with catalogs of Audiobook Maker", settings.COMPATIBLE_VERSION),
        Line("Python, Django", f"{platform.python_version()}, {django.get_version()}"),
        Line(
            "Mode", "embedded: one process" if settings.IS_EMBEDDED else "parts apart, with Redis"
        ),
        *_database_lines(),
        Line("Data directory", str(folder)),
        Line("File system", file_system_of(folder) or "unknown"),
        Line("Installed engines", size(_engine_bytes())),
        Line("Free disk", _free_text(folder)),
    ]
    return [*lines, Line("Threads", _threads_text())] if settings.IS_EMBEDDED else lines


def _database_lines() -> list[Line]:
    if connection.vendor != "sqlite":
        return [Line("Database", f"{connection.display_name} {_server_version()}")]
    name = str(connection.settings_dict["NAME"])
    held = sum(file.stat().st_size for file in _database_files(name) if file.is_file())
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        journal = str(cursor.fetchone()[0])
    return [
        Line("Database", f"SQLite {_server_version()}, {size(held)}"),
        Line("Journal", journal.upper()),
    ]


def _server_version() -> str:
    return ".".join(str(number) for number in connection.get_database_version())


def _database_files(name: str) -> list[Path]:
    return [Path(f"{name}{ending}") for ending in ("", "-wal", "-shm")]


def _engine_bytes() -> int:
    """What the engines of this machine said they take; walking their files would take seconds."""
    held = Engine.objects.aggregate(total=Sum("disk_bytes"))["total"]
    return int(held or 0)


def _free_text(folder: Path) -> str:
    try:
        disk = shutil.disk_usage(folder)
    except OSError:
        return "unknown"
    return f"{size(disk.free)} of {size(disk.total)}"


def _threads_text() -> str:
    """Which threads of an embedded abm live; a dead one is named as such."""
    alive = {thread.name for thread in threading.enumerate()}
    words = [
        f"{label} {'runs' if name in alive else 'does not run'}"
        for name, label in EMBEDDED_THREADS.items()
    ]
    return f"{', '.join(words)}; {threading.active_count()} in all"
