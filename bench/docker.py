"""Engines in containers, beside Docker itself: needs the lab (make lab-up)."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import httpx
from docker.errors import ImageNotFound
from playwright.sync_api import Page, sync_playwright

from bench.abm import Bench
from bench.figures import Row, at_most, quantile
from bench.updates import IMAGES, manifest_requests
from hosts.link.docker_seen import time_of
from lab.faults import Fault
from lab.faulty_registry import FaultyRegistry
from lab.fleet import NOT_UP, Lab
from lab.made_engines import made_engines
from lab.own import OwnDaemon, own_daemon
from lab.place import LabError, Place, the_place
from tests.browser.conftest import CHROMIUM
from tests.fleet.abm import NAME, PASSWORD, FleetAbm, Shelf, fleet_abm, ours
from tests.fleet.containers import free_port

PAIRS = 5
STARTS = 7
CHANGES = 30
PAGES = ("/", "/engines/", "/hosts/", "/catalog/", "/jobs/", "/healthz")
REAL = "espeak-ng"
"""An engine of the bundled ones: made-up ones are healthy as soon as they run."""
QUICK = {"ENGINE_STOP_TIMEOUT": "10"}


@dataclass(frozen=True, slots=True)
class Docker:
    """An abm with the lab's catalog, an empty daemon of its own, and ways past abm."""

    place: Place
    daemon: OwnDaemon
    client: docker.DockerClient
    abm: FleetAbm

    def run(self, *words: str) -> str:
        """The docker program; what it printed."""
        environment = {**os.environ, "DOCKER_HOST": self.daemon.host}
        done = subprocess.run(
            ["docker", *words], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def forget(self, image: str) -> None:
        """Leave nothing of it on the daemon, so that its layers are cold again."""
        with contextlib.suppress(ImageNotFound):
            self.client.images.remove(image, force=True)
        assert self.client.api.images(all=True) == [], "other images share its layers"


def measure_docker(bench: Bench) -> list[Row]:
    """engines in containers: installs, starts, changes, updates"""
    place = the_place()
    try:
        Lab(place).require_up()
    except LabError:
        print(f"left out: {NOT_UP}", file=sys.stderr)
        return []
    rows = []
    with tempfile.TemporaryDirectory(prefix="abm-bench-") as folder, own_daemon(place) as daemon:
        with (
            contextlib.closing(daemon.client()) as client,
            fleet_abm(Path(folder), daemon, place.catalog_url) as abm,
        ):
            it = Docker(place, daemon, client, abm)
            for measure in (installs, starts, changes):
                print(f"measuring: {measure.__doc__}", file=sys.stderr, flush=True)
                rows += measure(it)
        print(f"measuring: {slowest_request.__doc__}", file=sys.stderr, flush=True)
        rows += slowest_request(place, daemon)
    print(f"measuring: {update_check.__doc__}", file=sys.stderr, flush=True)
    return [*rows, *update_check(place)]


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def job_seconds(abm: FleetAbm, ask: Callable[[], int]) -> float:
    """From asking for a job to its end by abm's own clock."""
    began = datetime.now(UTC)
    job = abm.ended(ask(), 300)
    assert job.status == "succeeded", job.error
    return (datetime.fromisoformat(f"{job.finished_at}+00:00") - began).total_seconds()


def start_seconds(abm: FleetAbm, name: str) -> float:
    """From the click on Start, as the page sends it, until abm has heard an answer."""
    path = f"/engines/{abm.engine(name).pk}/start/"
    headers = {"X-CSRFToken": abm.http.cookies["csrftoken"], "HX-Request": "true"}
    before = {row.pk for row in abm.rows("jobs_job")}
    began = datetime.now(UTC)
    abm.http.post(path, headers=headers).raise_for_status()
    (made,) = [row for row in abm.rows("jobs_job") if row.pk not in before]
    job = abm.ended(made.pk, 300)
    assert job.status == "succeeded", job.error
    ends = {step["key"]: step["finished_at"] for step in json.loads(job.steps)}
    return (datetime.fromisoformat(ends["answer"]) - began).total_seconds()


def installs(it: Docker) -> list[Row]:
    """an install through abm beside `docker pull`, cold layers, in turns"""
    image = it.place.image("large")
    ratios, ours_, theirs = [], [], []
    for _ in range(PAIRS):
        theirs.append(seconds_of(lambda: it.run("pull", "--quiet", image)))
        it.forget(image)
        ours_.append(job_seconds(it.abm, lambda: it.abm.install("large")))
        it.abm.done("large", "uninstall")
        it.forget(image)
        ratios.append(ours_[-1] / theirs[-1])
    words = f"docker pull {statistics.median(theirs):.2f} s, abm {statistics.median(ours_):.2f} s"
    row = at_most("Install, cold, over docker pull", ratios, "times", 1.10, "limit")
    return [Row(row.what, f"{row.measured}; {words}", row.beside, row.verdict)]


def starts(it: Docker) -> list[Row]:
    """a start through abm beside `docker run`, each until it is healthy, in turns"""
    it.abm.installed(REAL)
    ratios, ours_, theirs = [], [], []
    for _ in range(STARTS):
        theirs.append(seconds_of(lambda: run_until_healthy(it, "bench-peer")))
        it.run("rm", "--force", "bench-peer")
        ours_.append(start_seconds(it.abm, REAL))
        it.abm.done(REAL, "stop")
        # So that both make a container anew.
        for container in ours(it.client, REAL):
            container.remove()
        ratios.append(ours_[-1] / theirs[-1])
    words = f"docker run {statistics.median(theirs):.2f} s, abm {statistics.median(ours_):.2f} s"
    row = at_most("Start, over docker run until healthy", ratios, "times", 1.1, "limit")
    return [Row(row.what, f"{row.measured}; {words}", row.beside, row.verdict)]


def run_until_healthy(it: Docker, name: str) -> None:
    port = free_port()
    published = f"127.0.0.1:{port}:8766"
    it.run("run", "--detach", "--name", name, "--publish", published, it.place.image(REAL))
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.005)
    raise AssertionError("the peer was never healthy")


def changes(it: Docker) -> list[Row]:
    """from a container's end or start outside of abm to the page of a browser"""
    assert CHROMIUM is not None, "the bench needs Chromium"
    it.abm.installed("tone", starts=True)
    seen: list[tuple[str, float]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = watched_page(browser.new_page(base_url=it.abm.served.url), seen)
        delays = [change(it, page, seen, starts=bool(number % 2)) for number in range(CHANGES)]
        browser.close()
    return [
        at_most("Container change to DOM, p50", [statistics.median(delays)], "ms", 50, "limit"),
        at_most("Container change to DOM, p99", [quantile(delays, 0.99)], "ms", 200, "limit"),
    ]


def watched_page(page: Page, seen: list[tuple[str, float]]) -> Page:
    """The list of engines, which tells each word that the engine's state becomes, and when."""
    page.goto("/accounts/login/")
    page.fill("[name=username]", NAME)
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    page.expose_function("abmSeen", lambda word, at: seen.append((word, at)))
    page.goto("/engines/")
    page.wait_for_timeout(1000)
    page.evaluate(
        """() => {
             const word = () => [...document.querySelectorAll('tr[id^=engine-]')]
             .find(row => row.innerText.includes('Tone'))?.querySelector('.state-word')?.innerText;
             let last = word();
             new MutationObserver(() => {
               const now = word();
               if (now && now !== last) { last = now; window.abmSeen(now, Date.now()); }
             }).observe(document.body, {childList: true, subtree: true, characterData: true});
           }"""
    )
    return page


def change(it: Docker, page: Page, seen: list[tuple[str, float]], *, starts: bool) -> float:
    """Milliseconds from what Docker says was the moment to the first other word on the page."""
    (container,) = ours(it.client, "tone")
    seen.clear()
    it.run("start" if starts else "stop", container.id)
    until = time.monotonic() + 10
    while not seen:
        assert time.monotonic() < until, "the page never showed the change"
        page.wait_for_timeout(2)
    container.reload()
    told = time_of(container.attrs["State"]["StartedAt" if starts else "FinishedAt"])
    assert told is not None
    first = seen[0][1] - told.timestamp() * 1000
    settled = "Running" if starts else "Failed"
    while settled not in {word.strip() for word, _ in seen}:
        assert time.monotonic() < until, f"the page never said {settled}: {seen}"
        page.wait_for_timeout(20)
    it.abm.until(lambda: not it.abm.rows("jobs_job", "finished_at IS NULL"))
    return first


def slowest_request(place: Place, daemon: OwnDaemon) -> list[Row]:
    """the slowest page while an engine ignores SIGTERM and a registry stalls"""
    with (
        FaultyRegistry(place.registry) as door,
        Shelf(door.address) as shelf,
        tempfile.TemporaryDirectory(prefix="abm-bench-") as folder,
    ):
        for engine in made_engines(place):
            if engine.name in ("ignores-term", "large"):
                shelf.offer(**engine.definition())
        with fleet_abm(Path(folder), daemon, shelf.url, **QUICK) as abm:
            abm.installed("ignores-term", starts=True)
            door.fail(Fault("/blobs/", method="GET", is_silent=True))
            pulling = abm.install("large")
            abm.until(lambda: door.in_flight)
            with visiting(abm) as spent:
                job = abm.done("ignores-term", "stop")
            assert abm.job(pulling).status == "running"
            abm.post(f"/jobs/{pulling}/cancel/")
            abm.ended(pulling)
            took = seconds_between(job.started_at, job.finished_at)
    slowest, middle = max(spent) * 1000, statistics.median(spent) * 1000
    what = "Slowest request while an engine ignores SIGTERM and a registry stalls"
    row = at_most(what, [slowest], "ms", 100, "limit")
    words = f"{row.measured}, median {middle:.0f} ms of {len(spent)} in {took:.1f} s"
    return [Row(row.what, words, row.beside, row.verdict)]


@contextlib.contextmanager
def visiting(abm: FleetAbm) -> Iterator[list[float]]:
    """Ask for one page after the other meanwhile; the seconds that each took."""
    spent: list[float] = []
    is_over = threading.Event()
    cookies = dict(abm.http.cookies)

    def visit() -> None:
        with httpx.Client(base_url=abm.served.url, cookies=cookies, timeout=30) as http:
            while not is_over.is_set():
                for path in PAGES:
                    began = time.perf_counter()
                    http.get(path).raise_for_status()
                    spent.append(time.perf_counter() - began)

    visitor = threading.Thread(target=visit)
    visitor.start()
    yield spent
    is_over.set()
    visitor.join()


def seconds_between(first: Any, last: Any) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def update_check(place: Place) -> list[Row]:
    """requests for one check of 200 engines on 20 images"""
    first, again = manifest_requests(place)
    what = "Update check of 200 engines on 20 images"
    row = at_most(what, [first], "manifest requests", IMAGES, "limit")
    return [Row(what, f"{row.measured}; asked again {again}", row.beside, row.verdict)]


MEASURES = (measure_docker,)
