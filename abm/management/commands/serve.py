"""`manage.py serve`: all of abm in one process, with nothing to install beside it."""

from __future__ import annotations

import gc
import hashlib
import os
import socket
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from abm.asgi import make_application
from abm.celery import app
from abm.data import DataUnusable, lock, prepare
from abm.embedded import Threads
from abm.environment import own_addresses
from abm.schema import bring_up_to_date
from abm.server import DRAIN_SECONDS, AbmServer
from accounts.setup import admin_from_settings, needs_setup, new_setup_token
from catalog.services import ensure_sources
from engines.recovery import recover_all
from hosts.services import ensure_hosts
from jobs.services import interrupt_all

CTRL_C_SECONDS = 2.0
"""How long a person who pressed Ctrl-C waits for requests under way."""


class Command(BaseCommand):
    help = "Run abm: web, worker, clock and link in one process."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.IS_EMBEDDED:
            raise CommandError(
                "REDIS_URL is set, so run the parts apart: manage.py web, manage.py worker "
                "and manage.py link."
            )
        try:
            prepare(settings.DATA_DIR)
            held = lock(settings.DATA_DIR)
        except DataUnusable as error:
            raise CommandError(str(error)) from error
        require_free_port(settings.HOST, settings.PORT)
        set_up()
        threads = Threads(app)
        server = make_server(drain_seconds=CTRL_C_SECONDS)
        recover_all(interrupt_all())
        threads.start()
        self.stdout.write(greeting())
        self.stdout.flush()
        gc.collect()
        gc.freeze()
        server.listen()
        self.stdout.write("Ending. Running engines go on; the next start finds them.")
        self.stdout.flush()
        threads.stop()
        held.close()
        # Threads of pools would be waited for without limit; all that matters is in the database.
        os._exit(0)


def make_server(*, drain_seconds: float = DRAIN_SECONDS) -> AbmServer:
    """The web server; the static files must stand, because it looks at them now."""
    return AbmServer(
        make_application(),
        host=settings.HOST,
        port=settings.PORT,
        max_upload_mb=settings.MAX_UPLOAD_MB,
        drain_seconds=drain_seconds,
    )


def require_free_port(host: str, port: int) -> None:
    """Fail with a sentence now rather than with a traceback later."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} on {host} cannot be used: {error.strerror}. "
                "Is abm running already? PORT and HOST choose another."
            ) from error


def set_up() -> None:
    """Migrations, static files, the built-in host, the catalog, the admin of the settings."""
    bring_up_to_date()
    collect_static()
    ensure_hosts()
    ensure_sources()
    admin_from_settings()


def collect_static() -> None:
    """Collect the static files if one of ours changed since the last time."""
    mark: Path = settings.STATIC_ROOT / ".collected"
    digest = hashlib.sha256(settings.VERSION.encode())
    for folder in settings.STATICFILES_DIRS:
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                found = file.stat()
                digest.update(f"{file}:{found.st_mtime_ns}:{found.st_size}".encode())
    if mark.is_file() and mark.read_text() == digest.hexdigest():
        return
    call_command("collectstatic", verbosity=0, interactive=False)
    mark.write_text(digest.hexdigest())


def greeting() -> str:
    """The addresses, and the link for the first admin while there is none."""
    # What a container has for addresses leads nowhere from outside.
    is_contained = Path("/.dockerenv").exists()
    names = [] if is_contained else own_addresses(settings.HOST)
    local = "127.0.0.1" if settings.HOST in {"0.0.0.0", "::", "127.0.0.1"} else settings.HOST
    here = f"http://{local}:{settings.PORT}"
    network = [
        f"http://{name}:{settings.PORT}"
        for name in names
        if settings.HOST in {"0.0.0.0", "::"} and name not in {"127.0.0.1", "127.0.1.1", "[::1]"}
    ]
    lines = [f"abm {settings.VERSION} is at {here}"]
    lines += [f"  on the network: {address}" for address in network]
    if settings.PUBLIC_URL:
        lines.append(f"  from outside: {settings.PUBLIC_URL}")
    if needs_setup():
        path = f"/accounts/setup/{new_setup_token()}/"
        bases = [settings.PUBLIC_URL] if settings.PUBLIC_URL else [here, *network[:1]]
        lines += ["", "Nobody is admin yet. Make the first one by this link, which works once:"]
        lines += [f"  {base}{path}" for base in bases]
        if is_contained and not settings.PUBLIC_URL:
            lines.append("From another machine, put this one's address and port in its place.")
    lines += ["", f"Data: {settings.DATA_DIR}. Ctrl-C ends abm; engines go on."]
    return "\n".join(lines)
