"""The engines page over a database of many engines, drawn in this process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 30


def with_engines(count: int) -> tuple[int, float]:
    """(queries, median seconds) of the engines page with `count` rows; a process of its own."""
    with tempfile.TemporaryDirectory(prefix="abm-bench-") as folder:
        environment = {
            **os.environ,
            "DATA_DIR": folder,
            "DEBUG": "true",  # plain static files: none are collected here
            "DJANGO_SETTINGS_MODULE": "abm.settings",
        }
        said = subprocess.run(
            [sys.executable, "-m", "bench.many", str(count)],
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.split()
    return int(said[-2]), float(said[-1])


def main(count: int) -> None:
    import django  # noqa: PLC0415  settings are read at import, so after the environment stands

    django.setup()
    from django.conf import settings  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from accounts.models import User  # noqa: PLC0415
    from engines.models import Engine  # noqa: PLC0415
    from hosts.services import ensure_local_host  # noqa: PLC0415

    settings.DEBUG = False
    call_command("migrate", verbosity=0)
    host = ensure_local_host()
    Engine.objects.bulk_create(
        Engine(
            host=host,
            name=f"engine-{number}",
            display_name=f"Engine {number}",
            engine_type="tts",
            state=Engine.State.STOPPED,
        )
        for number in range(count)
    )
    user = User.objects.create_user("bench", role=User.Role.ADMIN)
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(user)
    client.get("/engines/")
    queries: list[str] = []

    def count_query(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        queries.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count_query):
        client.get("/engines/")
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = client.get("/engines/")
        seconds.append(time.perf_counter() - began)
        assert answer.status_code == 200
    print(len(queries), statistics.median(seconds))


if __name__ == "__main__":
    main(int(sys.argv[1]))
