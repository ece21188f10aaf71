"""A served abm before a Docker of a test's own: asked by HTTP, read from its database.

So what a test sees is what a person and a restart would see, and nothing that only lives in memory.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import docker
import httpx

from lab.faulty_registry import FaultyRegistry
from lab.made_images import tiny_layer, tiny_run
from lab.own import OwnDaemon, own_daemon, own_registry
from lab.place import Place
from lab.pushing import Layer, Pusher
from tests.browser.server import Served

NAME, PASSWORD = "ada", "correct horse battery"
OPEN = ("queued", "running")
POLL_SECONDS = 0.02
SPEAKS_NOT = {"speaks_contract": False, "health": {"path": "/health", "start_seconds": 20}}
"""For images with lab's `tiny_layer`, which answer GET alone."""


class Shelf:
    """An online catalog that a test fills: a context manager, served while inside."""

    def __init__(self, registry: str) -> None:
        self.registry = registry
        self._engines: dict[str, dict[str, Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answers())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/catalog.yaml"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def offer(self, name: str, *, tag: str = "latest", **more: Any) -> None:
        """List an engine whose image is `<registry>/lab/<name>:<tag>`."""
        variant = {"tag": tag, "platforms": ["linux/amd64"], "requires_gpu": False}
        self._engines[name] = {
            "name": name,
            "display_name": name,
            "engine_type": "tts",
            "description": "An engine of a test.",
            "variants": [variant],
            "supported_languages": ["en"],
            "abm": {"version": "1.0.0"},
            **more,
        }

    def text(self) -> bytes:
        head = {
            "catalog_version": "1.0",
            "min_app_version": "1.1.0",
            "registry": f"{self.registry}/lab",
        }
        return json.dumps({**head, "engines": list(self._engines.values())}).encode()

    def _answers(self) -> type[BaseHTTPRequestHandler]:
        shelf = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = shelf.text()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *words: object) -> None:
                """Nobody asks for it."""

        return Answers


@dataclass(frozen=True, slots=True)
class Row:
    """A row of abm's database, its columns as attributes."""

    values: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.values[name]


class FleetAbm:
    """One abm with a Docker host; `start`, `kill` and start it again as often as wanted."""

    def __init__(
        self, folder: Path, docker_host: str, catalog_url: str, **environment: str
    ) -> None:
        self.served = Served(
            folder,
            ADMIN_USERNAME=NAME,
            ADMIN_PASSWORD=PASSWORD,
            DOCKER_HOST=docker_host,
            CATALOG_URL=catalog_url,
            **{"LOG_LEVEL": "INFO", "ENGINE_STOP_TIMEOUT": "2", **environment},
        )
        self.database = folder / "data" / "abm.sqlite3"
        self.http = httpx.Client(base_url=self.served.url, follow_redirects=True, timeout=30)

    def start(self) -> float:
        """Start and wait until Docker is known; the seconds until the first answer."""
        seconds = self.served.start()
        if not self.http.cookies.get("abm_session"):
            self.sign_in(self.http)
        return seconds

    def sign_in(self, http: httpx.Client, *, name: str = NAME, password: str = PASSWORD) -> None:
        token = _token_in(http.get("/accounts/login/"))
        form = {"csrfmiddlewaretoken": token, "username": name, "password": password}
        answer = http.post("/accounts/login/", data=form)
        assert "/login" not in str(answer.url), answer.text[:500]

    def read_shelf(self) -> None:
        """Have the catalog read now."""
        source = self.row("catalog_catalogsource", "kind = 'online'")
        self.post(f"/catalog/sources/{source.pk}/sync/")
        self.until(lambda: not self.rows("jobs_job", "action = 'sync' AND finished_at IS NULL"))
        last = self.rows("jobs_job", "action = 'sync'")[-1]
        assert last.status == "succeeded", last.error

    def until_docker(self, seconds: float = 20) -> None:
        """Wait until abm knows that its Docker can be used."""
        usable = "state IN ('available', 'available_no_gpu', 'degraded')"
        self.until(lambda: self.rows("hosts_host", f"host_type = 'docker:local' AND {usable}"))

    def post(self, path: str, **form: str) -> httpx.Response:
        """A form as the page would send it; it must be taken."""
        answer = self.asked(path, form)
        assert answer.is_success, f"{path}: {answer.status_code}\n{self.story()}"
        return answer

    def asked(
        self, path: str, form: Mapping[str, str], *, http: httpx.Client | None = None
    ) -> httpx.Response:
        """The same, and it may be refused."""
        http = http or self.http
        return http.post(path, data=dict(form), headers={"X-CSRFToken": http.cookies["csrftoken"]})

    def install(self, name: str, *, http: httpx.Client | None = None, starts: bool = False) -> int:
        """Ask for the install on Docker; its job."""
        form = self.wish(name) | ({"starts": "on"} if starts else {})
        answer = self.asked("/engines/install/", form, http=http)
        found = re.search(r"/jobs/(\d+)/", str(answer.url))
        assert found and answer.is_success, f"{name}: {answer.status_code} {answer.text[:1500]}"
        return int(found[1])

    def wish(self, name: str) -> dict[str, str]:
        """The form of the install dialog."""
        online = "source_id IN (SELECT id FROM catalog_catalogsource WHERE kind = 'online')"
        entry = self.row("catalog_catalogentry", f"name = ? AND {online}", name)
        variant = self.row("catalog_variant", "entry_id = ?", entry.pk)
        return {"variant": str(variant.pk), "host": str(self.host.pk)}

    def verb(self, name: str, verb: str, **form: str) -> Row:
        """Ask an engine's page for a verb; the job that came of it."""
        pk = self.engine(name).pk
        before = {row.pk for row in self.rows("jobs_job")}
        self.post(f"/engines/{pk}/{verb}/", **form)
        (made,) = [row for row in self.rows("jobs_job") if row.pk not in before]
        return made

    def done(self, name: str, verb: str, seconds: float = 60) -> Row:
        """The same, when it has ended well."""
        job = self.ended(self.verb(name, verb).pk, seconds)
        assert job.status == "succeeded", f"{job.error}\n{job.error_detail}"
        return job

    def installed(self, name: str, *, starts: bool = False) -> Row:
        """Install it and wait until that is done well; the engine."""
        job = self.ended(self.install(name, starts=starts))
        assert job.status == "succeeded", f"{job.error}\n{job.error_detail}"
        return self.engine(name)

    def ended(self, job: int, seconds: float = 60) -> Row:
        """The job when it has ended, in whatever way."""
        self.until(lambda: self.job(job).status not in OPEN, seconds)
        return self.job(job)

    def retried(self, job: int) -> int:
        """Press Retry; the new job."""
        answer = self.post(f"/jobs/{job}/retry/")
        found = re.search(r"/jobs/(\d+)/", str(answer.url))
        assert found is not None
        return int(found[1])

    def job(self, pk: int) -> Row:
        return self.row("jobs_job", "id = ?", pk)

    def log(self, job: int) -> str:
        """All lines of a job."""
        return "\n".join(row.text for row in self.rows("jobs_jobline", "job_id = ?", job))

    @property
    def host(self) -> Row:
        return self.row("hosts_host", "host_type = 'docker:local'")

    def engine(self, name: str) -> Row:
        return self.row("engines_engine", "name = ?", name)

    def state(self, name: str) -> str:
        """Of an engine; empty where there is no row of it."""
        rows = self.rows("engines_engine", "name = ?", name)
        return str(rows[0].state) if rows else ""

    def until_state(self, name: str, *states: str, seconds: float = 20) -> Row:
        self.until(lambda: self.state(name) in states, seconds)
        return self.engine(name)

    def row(self, table: str, where: str, *values: object) -> Row:
        (found,) = self.rows(table, where, *values)
        return found

    def rows(self, table: str, where: str = "1", *values: object) -> list[Row]:
        """Read past abm, as of now."""
        address = f"file:{self.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=10)) as database:
            database.row_factory = sqlite3.Row
            asked = f"SELECT *, id AS pk FROM {table} WHERE {where} ORDER BY id"
            return [Row(dict(row)) for row in database.execute(asked, values)]

    def until(self, holds: Callable[[], object], seconds: float = 20) -> None:
        """Look again and again until it holds; what abm said if it does not."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"it did not happen in {seconds:g} s\n{self.story()}"
            time.sleep(POLL_SECONDS)

    def story(self) -> str:
        """What there is to know when a test fails."""
        jobs = [
            f"job {row.pk} {row.action} {row.subject}: {row.status} {row.percent:.0f} % "
            f"{row.waiting_for} {row.error}"
            for row in self.rows("jobs_job")
        ]
        engines = [
            f"engine {row.name}: {row.state} {row.error}" for row in self.rows("engines_engine")
        ]
        host = f"host: {self.host.state} {self.host.state_text}"
        return "\n".join([*jobs, *engines, host, self.served.said()[-3000:]])

    def end(self) -> None:
        self.http.close()
        self.served.kill()


@contextlib.contextmanager
def fleet_abm(
    folder: Path, daemon: OwnDaemon, catalog_url: str, **environment: str
) -> Iterator[FleetAbm]:
    """A started abm that knows its Docker and has read the catalog."""
    made = FleetAbm(folder, daemon.host, catalog_url, **environment)
    try:
        made.start()
        made.read_shelf()
        made.until_docker()
        yield made
    finally:
        made.end()


@dataclass(frozen=True, slots=True)
class Ground:
    """All that a fault needs: an abm, its Docker, and a registry behind a faulty door."""

    abm: FleetAbm
    daemon: OwnDaemon
    client: docker.DockerClient
    door: FaultyRegistry
    pusher: Pusher
    shelf: Shelf

    def offer(self, *sizes: int, count: int = 1, **entry: Any) -> list[str]:
        """New images nobody has, a layer for each size in bytes; the names of their engines."""
        names = [f"engine-{secrets.token_hex(3)}" for _ in range(count)]
        for name in names:
            layers = [tiny_layer(), *(noise(size) for size in sizes or (100,))]
            self.pusher.push(f"lab/{name}", "latest", layers, run=tiny_run())
            self.shelf.offer(name, **{"abm": {"version": "1.0.0", **SPEAKS_NOT}, **entry})
        self.abm.read_shelf()
        return names

    def layers_of(self, name: str) -> list[str]:
        """Digests of the layers of an engine's image."""
        image = self.pusher.find(f"lab/{name}")
        assert image is not None
        return [str(layer["digest"]) for layer in image.layers]

    def image(self, name: str) -> str:
        return f"{self.door.address}/lab/{name}:latest"

    def is_nothing_left(self, name: str) -> bool:
        """Neither its image nor a container of it is on the daemon."""
        there = {tag for image in self.client.images.list() for tag in image.tags}
        return self.image(name) not in there and not ours(self.client, name)


@contextlib.contextmanager
def ground(
    place: Place, folder: Path, *, environment: Mapping[str, str] | None = None, **daemon: Any
) -> Iterator[Ground]:
    """Everything up, and gone afterwards; `daemon` are options of own_daemon."""
    with (
        own_daemon(place, **daemon) as own,
        contextlib.closing(own.client()) as client,
        own_registry(place) as registry,
        FaultyRegistry(registry.address) as door,
        Pusher(registry.address) as pusher,
        Shelf(door.address) as shelf,
        fleet_abm(folder, own, shelf.url, **(environment or {})) as abm,
    ):
        yield Ground(abm, own, client, door, pusher, shelf)


def noise(size: int) -> Layer:
    """A layer that does not compress and that no other image has."""
    return Layer.of_files({f"data/{secrets.token_hex(8)}": secrets.token_bytes(size)})


def ours(client: docker.DockerClient, engine: str = "") -> list[Any]:
    """The containers on a daemon that carry abm's label, those of one engine or all."""
    label = f"abm.engine={engine}" if engine else "abm.engine"
    return list(client.containers.list(all=True, filters={"label": label}))


def steps_of(job: Row) -> list[str]:
    """Titles of a job's steps."""
    return [step["title"] for step in json.loads(job.steps)]


def _token_in(answer: httpx.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', answer.text)
    assert found is not None, answer.text[:500]
    return found[1]
