"""How abm grows: pages, memory and events with 1, 20 and 200 hosts of ten engines each.

`python -m bench.scale` prints the table of docs/scale.md. The hosts are rows that are switched off:
what their links cost is not in these figures.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.changes import changes
from bench.figures import quantile
from tests.abm.apart import NAME, PASSWORD, Browser, apart
from tests.browser.server import ROOT, Served

SIZES = (1, 20, 200)
ENGINES_EACH = 10
ROUNDS = 20
PAGES = ("/", "/engines/", "/hosts/", "/hosts/{host}/", "/catalog/", "/jobs/", "/search/?q=engine")
MB = 1024 * 1024


def main() -> None:
    columns = [measure(hosts) for measure in (on_sqlite, on_postgres) for hosts in SIZES]
    heads = [
        f"{where}: {hosts:,} hosts, {hosts * ENGINES_EACH:,} engines"
        for where in ("SQLite", "PostgreSQL")
        for hosts in SIZES
    ]
    print("| |", " | ".join(heads), "|")
    print("|---|" + "---|" * len(heads))
    for name in columns[0]:
        print(f"| {name} |", " | ".join(column[name] for column in columns), "|", flush=True)


def on_sqlite(hosts: int) -> dict[str, str]:
    """Every figure of one size by its name: `serve`, with a database of its own."""
    with tempfile.TemporaryDirectory(prefix="abm-bench-") as folder:
        served = Served(Path(folder), ADMIN_USERNAME=NAME, ADMIN_PASSWORD=PASSWORD)
        served.start()  # once for the migrations, which leave their memory behind
        served.stop()
        served.start()
        assert served.process is not None
        empty = _pss(served.process.pid)
        served.stop()
        told = _in_process(served.environment, hosts)
        served.start()
        try:
            return told | _lived(served.port, served.process.pid, empty)
        finally:
            served.stop()


def on_postgres(hosts: int) -> dict[str, str]:
    """The same of `web`, with worker, link, PostgreSQL and Redis beside it."""
    with tempfile.TemporaryDirectory(prefix="abm-bench-") as folder, apart(Path(folder)) as abm:
        abm.begin("web").end()
        web = abm.begin("web")
        empty = _pss(web.process.pid)
        told = _in_process(abm.environment, hosts)
        web.end()
        web = abm.begin("web")
        for command in ("worker", "link"):
            abm.begin(command)
        return told | _lived(abm.port, web.process.pid, empty)


def _lived(port: int, pid: int, empty: float) -> dict[str, str]:
    """What open pages see, and the memory after that."""
    browser = Browser(port)
    browser.sign_in()
    delays = changes(browser)
    return {
        "Memory of the process with the pages (PSS), empty to this": (
            f"{empty:.0f} to {_pss(pid):.0f} MiB"
        ),
        "Change of an engine to an open list, p50": f"{statistics.median(delays):.0f} ms",
        "the same, p95": f"{quantile(delays, 0.95):.0f} ms",
    }


def _in_process(environment: dict[str, str], hosts: int) -> dict[str, str]:
    said = subprocess.run(
        [sys.executable, "-m", "bench.scale", str(hosts)],
        cwd=ROOT,
        env={**environment, "DJANGO_SETTINGS_MODULE": "abm.settings"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.splitlines()
    return dict(line.split("\t") for line in said)


def _pss(pid: int) -> float:
    time.sleep(3)
    return float(psutil.Process(pid).memory_full_info().pss) / MB


def pages(hosts: int) -> None:
    """Fill the database of the environment, then draw each page in this process."""
    import django  # noqa: PLC0415  settings are read at import, so after the environment stands

    django.setup()
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from accounts.models import User  # noqa: PLC0415
    from hosts.models import Host  # noqa: PLC0415

    _fill(hosts)
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(User.objects.get(username=NAME))
    queries: list[str] = []

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        queries.append(sql)
        return execute(sql, params, many, context)

    last = Host.objects.order_by("-pk").values_list("pk", flat=True)[0]
    for pattern in PAGES:
        path = pattern.format(host=last)
        client.get(path)
        queries.clear()
        with connection.execute_wrapper(count):
            answer = client.get(path)
        assert answer.status_code == 200, path
        spent = []
        for _ in range(ROUNDS):
            began = time.process_time()  # what the page costs, whatever else the machine does
            client.get(path)
            spent.append((time.process_time() - began) * 1000)
        size = len(answer.content) / 1000
        figures = f"{statistics.median(spent):.0f} ms, {len(queries)} queries, {size:.0f} kB"
        print(f"`{pattern.format(host='N')}`\t{figures}")


def _fill(hosts: int) -> None:
    from engines.models import Engine  # noqa: PLC0415
    from hosts.models import Host  # noqa: PLC0415
    from jobs.models import Event, Job  # noqa: PLC0415

    made = Host.objects.bulk_create(
        Host(
            host_id=f"docker:{number:08x}",
            display_name=f"Box {number}",
            host_type=Host.Type.DOCKER_REMOTE,
            ssh_url=f"ssh://abm@box-{number}",
            is_enabled=False,
            state=Host.State.DISABLED,
            facts={"machine": "amd64", "memory_total": 64 * 10**9, "cpu_count": 16},
        )
        for number in range(hosts)
    )
    engines = Engine.objects.bulk_create(
        Engine(
            host=host,
            name=f"engine-{number}",
            display_name=f"Engine {number}",
            engine_type="tts",
            state=Engine.State.STOPPED,
            definition={"parameters": {str(key): {"type": "int"} for key in range(20)}},
        )
        for host in made
        for number in range(ENGINES_EACH)
    )
    Job.objects.bulk_create(
        Job(action="install", task="t", subject=str(one), status="succeeded", engine=one)
        for one in engines
    )
    Event.objects.bulk_create(
        Event(topic="engines", name="engine.changed", text=f"{one} was installed", origin="bench")
        for one in engines
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "abm.settings")
        pages(int(sys.argv[1]))
    else:
        main()
