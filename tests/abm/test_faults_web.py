"""Web dies in mid-stream, and everything is replaced under load: nobody loses anything."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abm.apart import Apart, Browser, Part, apart, wait_until
from tests.abm.slow_installs import (
    BACK_SECONDS,
    DEFINITION,
    SETTINGS,
    SETTLE_SECONDS,
    asked,
    ended,
    forget_jobs,
    install,
    is_ready,
    make_engine,
    open_jobs,
    running,
    states,
    uninstall,
)
from tests.browser.server import free_port
from tests.fleet.soak import IS_SOAK
from tests.servers import NO_POSTGRES, NO_REDIS, has_postgres, has_redis

ENGINES = 4

ROUNDS = 5 if IS_SOAK else 1
PAGES = ("/", "/engines/", "/jobs/", "/hosts/")
TRIES, PAUSE_SECONDS = 10, 0.2
STREAM = "/api/events/subscribe?channels=jobs"
DRAINED_SECONDS, ANSWERED_SECONDS, CAUGHT_UP_SECONDS = 30, 5, 10

pytestmark = [
    pytest.mark.process,
    pytest.mark.faults,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
]

CUTTER = """\
import argparse, json, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answers(BaseHTTPRequestHandler):
    def say(self, values):
        body = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/models":
            self.say({"models": [], "defaultModel": None})
        elif self.path == "/info":
            self.say({"name": "cutter", "displayName": "cutter", "engineType": "text"})
        else:
            self.say({"status": "ready", "engineModelLoaded": True, "device": "cpu"})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/segment":
            time.sleep(1)
        texts = ["First half.", "Second half."]
        self.say({"segments": [{"text": text, "start": 0, "end": 9} for text in texts]})

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Answers).serve_forever()
"""
TEXT = {"text": "First half. Second half.", "language": "en", "max_length": "250"}


def make_cutter(folder: Path) -> None:
    """An engine that takes a second to cut a text."""
    folder.mkdir(parents=True)
    definition = DEFINITION.format(name="cutter").replace("tts", "text")
    (folder / "engine.yaml").write_text(definition)
    (folder / "server.py").write_text(CUTTER)


@pytest.fixture(scope="module")
def abm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Two of everything; the second web has a port of its own."""
    folder = tmp_path_factory.mktemp("web")
    for number in range(ENGINES):
        make_engine(folder, f"slow-{number}")
    make_cutter(folder / "engines" / "text" / "cutter")
    settings = {"ENGINES_DIR": str(folder / "engines"), **SETTINGS}
    with apart(folder, **settings) as made:
        made.begin("web")
        made.begin("web", PORT=str(free_port()))
        for command in ("worker", "worker", "link", "link"):
            made.begin(command)
        wait_until(lambda: is_ready(made), "all parts are up")
        yield made


@pytest.fixture
def browser(abm: Apart) -> Browser:
    made = Browser(abm.port)
    made.sign_in()
    return made


class Stream:
    """The events of jobs as a program hears them: each with its number."""

    def __init__(self, browser: Browser, *, after: int | None = None) -> None:
        self.last = after or 0
        self.told: list[dict[str, object]] = []
        headers = {"Cookie": browser.cookie_line}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        self.connection = http.client.HTTPConnection("127.0.0.1", browser.port, timeout=10)
        self.connection.request("GET", STREAM, headers=headers)
        self.answer = self.connection.getresponse()
        self.is_cut = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while line := self.answer.readline().decode():
                name, _, value = line.strip().partition(": ")
                if name == "id":
                    self.last = int(value)
                elif name == "data":
                    self.told.append(json.loads(value))
        self.is_cut = True

    def has_told(self, words: str) -> bool:
        return any(words in json.dumps(row) for row in self.told)


def test_a_web_that_is_killed_in_mid_stream_costs_no_job_and_no_event(
    abm: Apart, browser: Browser
) -> None:
    line = browser.socket("/ws/jobs/")
    stream = Stream(browser)
    install(abm, browser, "slow-0")
    wait_until(lambda: running(abm) == 1 and stream.last > 0, "it runs and is told")

    abm.parts[0].kill()
    wait_until(lambda: stream.is_cut, "the stream is cut")
    assert is_closed(line)
    wait_until(lambda: ended(abm)["succeeded"] == 1, "its worker goes on", seconds=SETTLE_SECONDS)
    again(abm, abm.parts[0])

    began = time.monotonic()
    caught_up = Stream(browser, after=stream.last)
    ((pk,),) = asked(abm, "SELECT id FROM jobs_job")
    wait_until(lambda: caught_up.has_told('"succeeded"'), "what was missed comes again")
    assert time.monotonic() - began < CAUGHT_UP_SECONDS
    assert "state-succeeded" in browser.get(f"/jobs/{pk}/")[1]  # still signed in
    browser.socket("/ws/jobs/").close()
    uninstall(abm, browser)


@pytest.fixture
def cutter(abm: Apart, browser: Browser) -> Iterator[str]:
    """The address of an engine that runs."""
    install(abm, browser, "cutter")
    wait_until(lambda: not open_jobs(abm), "it is installed", seconds=SETTLE_SECONDS)
    ((pk,),) = asked(abm, "SELECT id FROM engines_engine WHERE name = 'cutter'")
    browser.post(f"/engines/{pk}/start/")
    wait_until(lambda: states(abm)["running"] == 1, "it runs", seconds=SETTLE_SECONDS)
    yield f"/engines/{pk}/"
    browser.post(f"/engines/{pk}/uninstall/")
    wait_until(lambda: not open_jobs(abm), "it is gone", seconds=SETTLE_SECONDS)
    forget_jobs(abm)


def test_an_answer_that_web_took_along_is_had_by_asking_again(
    abm: Apart, browser: Browser, cutter: str
) -> None:
    cut: list[Exception] = []
    person = threading.Thread(target=lambda: cut.extend(failure_of(browser, f"{cutter}try/")))
    person.start()
    wait_until(lambda: is_busy(abm), "it is asked")
    abm.parts[0].kill()
    person.join()
    again(abm, abm.parts[0])

    assert len(cut) == 1
    assert states(abm)["running"] == 1
    assert browser.post(f"{cutter}try/", **TEXT)[0] == 302
    assert "Second half." in browser.get(cutter)[1]
    assert not is_busy(abm)


def test_an_engine_answers_while_all_links_are_dead_and_after(
    abm: Apart, browser: Browser, cutter: str
) -> None:
    links = [part for part in abm.parts if part.command == "link"]
    for link in links:
        link.kill()

    assert browser.post(f"{cutter}try/", **TEXT)[0] == 302

    for link in links:
        again(abm, link)
    began = time.monotonic()
    assert browser.post(f"{cutter}try/", **TEXT)[0] == 302
    assert time.monotonic() - began < ANSWERED_SECONDS
    wait_until(lambda: is_ready(abm), "a link works", seconds=BACK_SECONDS)
    assert states(abm)["running"] == 1


def failure_of(browser: Browser, path: str) -> list[Exception]:
    try:
        browser.post(path, **TEXT)
    except (OSError, http.client.HTTPException) as error:
        return [error]
    return []


def is_busy(abm: Apart) -> bool:
    return bool(asked(abm, "SELECT 1 FROM engines_engine WHERE busy_until IS NOT NULL"))


def is_closed(line: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        while line.recv(65_536):
            pass
    return True


def again(abm: Apart, part: Part) -> None:
    """Begin a new process in the place of one that ended."""
    place = abm.parts.index(part)
    abm.begin(part.command, **part.more)
    abm.parts[place] = abm.parts.pop()


class Load(threading.Thread):
    """A person who opens page after page, through a proxy that knows both webs.

    The proxy tries the other web where one does not take the request; `failed` are pages that
    did not come within its tries.
    """

    def __init__(self, browser: Browser, ports: list[int]) -> None:
        super().__init__(daemon=True)
        self.loaded, self.tried_again = 0, 0
        self.failed: list[str] = []
        self.ended = threading.Event()
        self._browsers = []
        for port in ports:
            made = Browser(port)
            made.cookies = browser.cookies
            self._browsers.append(made)

    def run(self) -> None:
        while not self.ended.is_set():
            path = PAGES[self.loaded % len(PAGES)]
            self.loaded += 1
            if not self._comes(path):
                self.failed.append(path)

    def _comes(self, path: str) -> bool:
        for number in range(TRIES):
            browser = self._browsers[(self.loaded + number) % len(self._browsers)]
            with contextlib.suppress(OSError, http.client.HTTPException):
                if browser.get(path)[0] == 200:
                    return True
            self.tried_again += 1
            time.sleep(PAUSE_SECONDS)
        return False


def test_all_parts_are_replaced_under_load_without_a_page_or_a_job_lost(
    abm: Apart, browser: Browser
) -> None:
    webs = [part for part in abm.parts if part.command == "web"]
    ports = [int(part.more.get("PORT", abm.port)) for part in webs]
    loads = [Load(browser, ports) for _ in range(2)]
    for number in range(ENGINES):
        install(abm, browser, f"slow-{number}")
    for load in loads:
        load.start()

    slowest = 0.0
    for _ in range(ROUNDS):
        for part in list(abm.parts):
            began = time.monotonic()
            assert part.end() == 0, part.said()[-3000:]
            slowest = max(slowest, time.monotonic() - began)
            again(abm, part)
            wait_until(lambda: are_ready(ports), "ready again")
    wait_until(lambda: not open_jobs(abm), "all are done", seconds=SETTLE_SECONDS)
    for load in loads:
        load.ended.set()
        load.join()

    loaded = sum(load.loaded for load in loads)
    print(
        f"{loaded} pages, {sum(load.tried_again for load in loads)} tried again, "
        f"the slowest end {slowest:.1f} s"
    )
    assert [load.failed for load in loads] == [[], []]
    assert loaded > 50
    assert slowest < DRAINED_SECONDS
    assert ended(abm) == {"succeeded": ENGINES}, abm.said()
    assert states(abm)["stopped"] == ENGINES
    assert "Traceback" not in abm.said()


def are_ready(ports: list[int]) -> bool:
    with contextlib.suppress(OSError):
        return all(Browser(port).get("/readyz")[0] == 200 for port in ports)
    return False
