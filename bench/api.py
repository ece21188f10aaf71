"""The REST API by token: lists at 8 connections, with a dead host, and events to 100 listeners.

`python -m bench.api` measures these alone. The client is a process of its own with plain sockets,
so that little of what is measured is the client's.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.api_far import ask as ask_well
from bench.api_far import far_engine, far_lab
from bench.figures import Row, at_most, quantile, table
from lab.fleet import Lab
from tests.browser.server import Served

ROOT = Path(__file__).resolve().parents[1]
ENGINES, CONNECTIONS, SECONDS = 22, 8, 5.0
LISTENERS, CHANGES = 100, 60
LEAST, MOST_MS = 500, 50
LISTS = {
    "/api/engine-hosts": "412 to 485",
    "/api/engines/status": "96 to 141",
    "/api/engines/catalog": "601",
    "/api/health": "535 to 545",
    "/api/catalog/entries": "",
}
"""With what Audiobook Maker's backend answers a second, on the same kind of machine."""


@contextmanager
def _filled(*, is_dead: bool, lab: Lab | None = None) -> Iterator[tuple[Served, str]]:
    """An abm with engines, one of which runs here, and one on a remote host of the lab.

    If wanted it has a host that takes connections and says nothing.
    """
    with (
        tempfile.TemporaryDirectory(prefix="abm-bench-") as folder,
        socket.socket() as silent,
        contextlib.ExitStack() as stack,
    ):
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        served = Served(Path(folder), API_READS_PER_MINUTE="0", API_WRITES_PER_MINUTE="0")
        served.start()
        try:
            port = silent.getsockname()[1] if is_dead else 0
            count = ENGINES - 1 if lab else ENGINES
            said = subprocess.run(
                [sys.executable, "-m", "bench.api_rows", str(count), str(port)],
                cwd=ROOT,
                env={**served.environment, "DJANGO_SETTINGS_MODULE": "abm.settings"},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            key = said.stdout.split()[-1]
            for path in ("pysbd:local/install", "text/pysbd:local/start"):
                ask_well(served, key, "POST", f"/api/engines/{path}")
            if lab is not None:
                stack.enter_context(far_engine(lab, served, key))
            yield served, key
        finally:
            served.end_engines()
            served.kill()


def rates(ports: list[int], header: str, path: str) -> tuple[float, float]:
    """Requests a second and the 99th percentile in ms, by a process of its own."""
    listed = ",".join(str(port) for port in ports)
    said = subprocess.run(
        [sys.executable, "-m", "bench.api", "ask", listed, header, path],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()
    return float(said[0]), float(said[1])


def ask(ports: list[int], header: str, path: str) -> None:
    """The client: a thread for each connection, kept open; prints req/s and p99 in ms."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{ports[0]}\r\n{header}\r\n\r\n".encode()
    spent: list[float] = []
    until = time.perf_counter() + SECONDS

    def one(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            stream = plain.makefile("rb")
            while (began := time.perf_counter()) < until:
                plain.sendall(request)
                _read(stream)
                spent.append(time.perf_counter() - began)

    threads = [
        threading.Thread(target=one, args=(ports[number % len(ports)],))
        for number in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(spent) / SECONDS, quantile(spent, 0.99) * 1000)


def _read(stream: object) -> bytes:
    """One answer with a Content-Length."""
    status = stream.readline()  # type: ignore[attr-defined]
    assert b" 200 " in status, status
    length = 0
    while (line := stream.readline()) != b"\r\n":  # type: ignore[attr-defined]
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return bytes(stream.read(length))  # type: ignore[attr-defined]


def measure_lists(bench: object = None) -> list[Row]:
    """lists over the API by token, 22 engines of which two run, then with a dead host"""
    rows, lab = [], far_lab()
    run = "one runs here, one by SSH" if lab else "one runs here; by SSH none: the lab is not up"
    for is_dead in (False, True):
        with _filled(is_dead=is_dead, lab=lab) as (served, key):
            for path, there in LISTS.items():
                header = f"Authorization: Bearer {key}"
                rates([served.port], header, path)
                rate, slowest = rates([served.port], header, path)
                holds = rate >= LEAST and slowest < MOST_MS
                beside = f"limit: {LEAST} req/s, p99 {MOST_MS} ms"
                rows.append(
                    Row(
                        f"GET {path}, {run}{', a dead host' if is_dead else ''}",
                        f"{rate:.0f} req/s, p99 {slowest:.0f} ms",
                        f"{beside}; Audiobook Maker: {there} req/s" if there else beside,
                        "holds" if holds else "MISSED",
                    )
                )
    return rows


def measure_events(bench: object = None) -> list[Row]:
    """from a change to 100 listeners of events"""
    with _filled(is_dead=False) as (served, key):
        heard: list[dict[str, float]] = [{} for _ in range(LISTENERS)]
        threads = [
            threading.Thread(target=_listen, args=(served.port, key, one), daemon=True)
            for one in heard
        ]
        for thread in threads:
            thread.start()
        _until(lambda: all("connected" in one for one in heard))
        asked = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        delays: list[float] = []
        for number in range(CHANGES):
            mark = str(100 + number)
            body = json.dumps({"value": {"preferredMaxSegmentLength": int(mark)}})
            headers = {"X-API-Key": key, "Content-Type": "application/json"}
            began = time.perf_counter()
            asked.request("PUT", "/api/settings/text", body, headers)
            answer = asked.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            _until(lambda mark=mark: all(mark in one for one in heard))  # type: ignore[misc]
            delays += [(one[mark] - began) * 1000 for one in heard]
            time.sleep(0.05)
    name = f"Change to {LISTENERS} listeners of events"
    return [
        at_most(f"{name}, p50", [statistics.median(delays)], "ms", 250, "limit"),
        at_most(f"{name}, p99", [quantile(delays, 0.99)], "ms", 250, "limit"),
    ]


def _listen(port: int, key: str, heard: dict[str, float]) -> None:
    """Note when each change was heard."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        path = "/api/events/subscribe?channels=settings"
        plain.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n\r\n".encode()
        )
        for line in plain.makefile("rb"):
            if b"connected" in line:
                heard["connected"] = time.perf_counter()
            elif b"preferredMaxSegmentLength" in line:
                at = time.perf_counter()
                value = json.loads(line.partition(b":")[2])["value"]
                heard[str(value["preferredMaxSegmentLength"])] = at


def _until(holds: object, *, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.002)


MEASURES = (measure_lists, measure_events)

if __name__ == "__main__":
    if sys.argv[1:2] == ["ask"]:
        ask([int(port) for port in sys.argv[2].split(",")], sys.argv[3], sys.argv[4])
    else:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        print(table([row for measure in MEASURES for row in measure()]))
