"""How abm grows: pages, memory and events with 1, 20 and 200 hosts of ten engines each.

`python -m bench.scale` prints the table of docs/scale.md. The hosts are rows that are switched off:
what their links cost is not in these figures.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.figures import quantile
from tests.abm.apart import NAME, PASSWORD, PUSH_SECONDS, Browser, heard
from tests.browser.server import ROOT, Served

SIZES = (1, 20, 200)
ENGINES_EACH = 10
ROUNDS, EVENTS = 20, 40
PAGES = ("/", "/engines/", "/hosts/", "/hosts/{host}/", "/catalog/", "/jobs/", "/search/?q=engine")
MB = 1024 * 1024


def main() -> None:
    columns = [measured(hosts) for hosts in SIZES]
    names = list(columns[0])
    heads = [f"{hosts:,} hosts, {hosts * ENGINES_EACH:,} engines" for hosts in SIZES]
    print("| |", " | ".join(heads), "|")
    print("|---|" + "---|" * len(SIZES))
    for name in names:
        print(f"| {name} |", " | ".join(column[name] for column in columns), "|", flush=True)


def measured(hosts: int) -> dict[str, str]:
    """Every figure of one size by its name; a database and processes of its own."""
    with tempfile.TemporaryDirectory(prefix="abm-bench-") as folder:
        served = Served(Path(folder), ADMIN_USERNAME=NAME, ADMIN_PASSWORD=PASSWORD)
        served.start()  # once for the migrations, which leave their memory behind
        served.stop()
        served.start()
        empty = _pss(served)
        served.stop()
        told = _in_process(served, hosts)
        served.start()
        try:
            delays = _events(served)
            used = _pss(served)
        finally:
            served.stop()
    return {
        **told,
        "Memory of `serve` (PSS), empty to this": f"{empty:.0f} to {used:.0f} MiB",
        "Change of an engine to an open list, p50": f"{statistics.median(delays):.0f} ms",
        "the same, p95": f"{quantile(delays, 0.95):.0f} ms",
    }


def _in_process(served: Served, hosts: int) -> dict[str, str]:
    said = subprocess.run(
        [sys.executable, "-m", "bench.scale", str(hosts)],
        cwd=ROOT,
        env={**served.environment, "DJANGO_SETTINGS_MODULE": "abm.settings"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.splitlines()
    return dict(line.split("\t") for line in said)


def _pss(served: Served) -> float:
    assert served.process is not None
    time.sleep(3)
    return float(psutil.Process(served.process.pid).memory_full_info().pss) / MB


def _events(served: Served) -> list[float]:
    """Milliseconds from a request that changes an engine to the message of an open page."""
    browser = Browser(served.port)
    browser.sign_in()
    line = browser.socket("/ws/engines/")
    heard(line, b"engine-")
    delays = []
    for number in range(EVENTS):
        _drain(line)
        words = {"keeps": "on"} if number % 2 == 0 else {}
        began = time.perf_counter()
        browser.post("/engines/1/keep-running/", **words)
        assert heard(line, b'id="engine-1"'), "no message came"
        delays.append((time.perf_counter() - began) * 1000)
    line.close()
    return delays


def _drain(line: socket.socket) -> None:
    """Read what came for the change before, so that it is not taken for the next."""
    time.sleep(0.2)
    line.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while line.recv(65_536):
            pass
    line.settimeout(PUSH_SECONDS)


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
