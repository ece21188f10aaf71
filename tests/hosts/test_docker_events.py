"""The watch of a Docker host, on a server that says what a daemon says, and stops saying it."""

from __future__ import annotations

import contextlib
import json
import queue
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker
import pytest

from hosts.link.docker_events import NANO, Pace
from hosts.link.docker_seen import AllSeen, ContainerGone, ContainerSeen, Seen, container_seen
from hosts.link.watcher import HostLost, HostSeen
from hosts.runners.container import PortBinding
from jobs.outcome import CancelToken
from tests.hosts.driving import watch_containers
from tests.hosts.spoken_daemon import UnixServer, folder_for_sockets
from tests.hosts.waiting import until

NOW = 1_795_249_426
QUICK = Pace(heartbeat=0.1, answer=0.2, back_off_first=0.02, back_off_longest=0.1)


def container(found: str = "a1", **state: Any) -> dict[str, Any]:
    """As Docker 20.10 tells of a running one."""
    running = {
        "Status": "running",
        "ExitCode": 0,
        "OOMKilled": False,
        "Error": "",
        "StartedAt": "2026-11-21T08:23:45.120123456Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    }
    return {
        "Id": found,
        "Name": f"/abm-{found}",
        "Image": "sha256:d5a3",
        "RestartCount": 0,
        "State": running | state,
        "Config": {
            "Image": "lab/tiny:latest",
            "Labels": {"abm.engine": f"engine-{found}", "abm.deployment": "d1"},
        },
        "NetworkSettings": {
            "Ports": {
                "8766/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49153"}],
                "9000/tcp": None,
                "53/udp": [{"HostIp": "", "HostPort": "53"}],
            }
        },
    }


def event(action: str, found: str = "a1", *, at: float, **attributes: str) -> dict[str, Any]:
    actor = {"ID": found, "Attributes": attributes}
    return {"Type": "container", "Action": action, "Actor": actor, "timeNano": int(at * NANO)}


@dataclass
class Speaker:
    """What the server says; `events` go to the stream that is open, None ends it."""

    containers: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: queue.SimpleQueue[dict[str, Any] | None] = field(default_factory=queue.SimpleQueue)
    asked: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    """Containers that it cannot tell of."""
    stuck: set[str] = field(default_factory=set)
    """Containers that it never answers for."""
    is_silent: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def since(self) -> list[float]:
        paths = [urlsplit(path) for path in self.asked]
        return [float(parse_qs(p.query)["since"][0]) for p in paths if p.path.endswith("/events")]

    def looks_at(self, found: str) -> int:
        return sum(path.endswith(f"/containers/{found}/json") for path in self.asked)


class Speaking(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        said: Speaker = self.server.speaker
        if said.is_silent.is_set():
            said.released.wait(20)
            self.close_connection = True
            return
        said.asked.append(self.path)
        path = urlsplit(self.path).path
        if path.endswith("/events"):
            self._stream(said)
        elif path.endswith("/containers/json"):
            self._say([{"Id": found} for found in said.containers])
        elif path.endswith("/_ping"):
            self._say("OK")
        else:
            found = path.split("/")[-2]
            if found in said.stuck:
                said.released.wait(20)
            status = 500 if found in said.broken else 200 if found in said.containers else 404
            told = said.containers.get(found) if status == 200 else {"message": "layer not found"}
            self._say(told, status=status)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _say(self, what: object, *, status: int = 200) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, said: Speaker) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while (line := said.events.get()) is not None:
            text = json.dumps(line).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(datetime.fromtimestamp(NOW, UTC), usegmt=True)

    def log_message(self, *_: object) -> None:
        return None


class Quiet(UnixServer):
    def handle_error(self, *_: object) -> None:
        """Clients hang up here."""


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with folder_for_sockets() as folder:
        yield folder / "docker.sock"


@pytest.fixture
def speaker(socket_path: Path) -> Iterator[Speaker]:
    said = Speaker({"a1": container()})
    with serving(socket_path, said):
        yield said


@contextlib.contextmanager
def serving(path: Path, said: Speaker) -> Iterator[socketserver.BaseServer]:
    with Quiet(str(path), Speaking) as server:
        server.speaker = said  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            said.released.set()
            said.events.put(None)
            server.shutdown()
            thread.join(5)


@pytest.fixture
def cancel() -> Iterator[CancelToken]:
    token = CancelToken()
    yield token
    token.cancel()


@pytest.fixture
def seen(socket_path: Path, cancel: CancelToken) -> Iterator[Seen]:
    def connect() -> docker.APIClient:
        return docker.APIClient(base_url=f"unix://{socket_path}", version="1.41")

    return watch_containers(connect, "d1", cancel, host_name="box", pace=QUICK)


def changes(seen: Iterator[Seen]) -> Iterator[ContainerSeen | ContainerGone | HostLost]:
    """What is told besides that all is well."""
    return (one for one in seen if not isinstance(one, AllSeen | HostSeen))


def test_a_running_container_is_read() -> None:
    read = container_seen(container())

    assert (read.id, read.name, read.engine) == ("a1", "abm-a1", "engine-a1")
    assert read.is_running and read.exit_code is None and not read.was_out_of_memory
    assert read.started_at == datetime(2026, 11, 21, 8, 23, 45, 120123, UTC)
    assert read.finished_at is None
    assert read.ports == (
        PortBinding(53, 53, "0.0.0.0", "udp"),
        PortBinding(8766, 49153, "127.0.0.1"),
    )


def test_one_that_ended_is_read_with_how() -> None:
    read = container_seen(
        container(Status="exited", ExitCode=137, OOMKilled=True, FinishedAt="2026-11-21T08:24:00Z")
    )

    assert (read.exit_code, read.was_out_of_memory, read.is_running) == (137, True, False)
    assert read.finished_at == datetime(2026, 11, 21, 8, 24, tzinfo=UTC)


def test_one_that_was_never_started_has_no_exit_code() -> None:
    read = container_seen(container(Status="created", StartedAt="0001-01-01T00:00:00Z"))

    assert (read.exit_code, read.started_at) == (None, None)


def test_want_of_memory_in_an_earlier_run_is_not_told_of_this_one() -> None:
    began = datetime(2026, 11, 21, 8, 23, 45, 120123, UTC).timestamp()

    assert container_seen(container(), oom_at=began + 1).was_out_of_memory
    assert not container_seen(container(), oom_at=began - 1).was_out_of_memory


def test_an_answer_that_lacks_everything_is_still_read() -> None:
    assert container_seen({}).state == ""


def test_the_snapshot_comes_first_and_says_when_it_is_whole(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    speaker.containers["b2"] = container("b2")
    told = [next(seen) for _ in range(4)]

    assert [one.id for one in told if isinstance(one, ContainerSeen)] == ["a1", "b2"]
    assert told[2:] == [AllSeen(frozenset({"engine-a1", "engine-b2"})), HostSeen()]


def test_the_stream_begins_before_the_snapshot_by_the_clock_of_the_host(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    next(seen)
    until(speaker.since)

    assert speaker.since() == [NOW - 1]


def test_an_end_is_told_at_once_and_then_with_all_that_is_known(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    told = changes(seen)
    next(told)
    died = container(Status="exited", ExitCode=137, FinishedAt="2026-11-21T08:24:00.5Z")
    speaker.containers["a1"] = died | {"RestartCount": 1}
    speaker.events.put(event("die", at=NOW + 10, exitCode="137"))
    first, second = next(told), next(told)

    assert isinstance(first, ContainerSeen) and isinstance(second, ContainerSeen)
    assert (first.state, first.exit_code, first.is_settled) == ("exited", 137, False)
    assert (first.restarts, first.ports) == (0, ())
    assert (second.restarts, second.exit_code, second.is_settled) == (1, 137, True)


def test_the_end_of_an_earlier_run_is_not_told_of_this_one(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    told = changes(seen)
    next(told)
    speaker.events.put(event("die", at=NOW - 1000, exitCode="1"))
    speaker.containers["b2"] = container("b2")
    speaker.events.put(event("start", "b2", at=NOW))
    following = next(told)

    assert isinstance(following, ContainerSeen) and following.id == "b2"


def test_after_a_gap_the_stream_goes_on_before_its_last_event_and_repeats_nothing(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    told = changes(seen)
    next(told)
    speaker.containers["b2"] = container("b2")
    created = event("create", "b2", at=NOW + 7.5)
    speaker.events.put(created)
    assert getattr(next(told), "id", "") == "b2"
    speaker.events.put(None)
    lost = next(told)
    assert isinstance(lost, HostLost) and "box broke" in lost.message
    until(lambda: len(speaker.since()) == 2)
    looks = speaker.looks_at("b2")
    speaker.containers["c3"] = container("c3")
    for one in (created, event("start", "c3", at=NOW + 8)):
        speaker.events.put(one)
    following = next(told)

    assert speaker.since() == [NOW - 1, NOW + 6.5]
    assert isinstance(following, ContainerSeen) and following.id == "c3"
    assert speaker.looks_at("b2") <= looks + 1  # by the snapshot, not by the repeated event


def test_what_happened_in_a_gap_is_told_by_the_snapshot_after_it(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    told = changes(seen)
    next(told)
    speaker.containers.clear()
    speaker.events.put(None)

    assert isinstance(next(told), HostLost)
    assert next(told) == ContainerGone("a1", "engine-a1")


def test_a_container_that_docker_cannot_tell_of_does_not_lose_the_host(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    speaker.containers["b2"] = container("b2")
    speaker.broken.add("a1")

    first = next(seen)
    assert isinstance(first, ContainerSeen) and first.id == "b2"
    assert isinstance(next(seen), AllSeen)


def test_a_container_that_docker_never_answers_for_does_not_lose_the_host(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    speaker.containers["b2"] = container("b2")
    speaker.stuck.add("a1")

    first = next(seen)
    assert isinstance(first, ContainerSeen) and first.id == "b2"
    assert isinstance(next(seen), AllSeen)


def test_an_answer_that_is_not_dockers_loses_the_host_and_not_the_watch(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    speaker.containers["a1"] = {"State": "running"}
    lost = next(seen)
    assert isinstance(lost, HostLost) and "not Docker" in lost.message
    speaker.containers["a1"] = container()

    assert isinstance(next(one for one in seen if not isinstance(one, HostLost)), ContainerSeen)


def test_a_container_of_another_abm_is_not_told_even_if_the_daemon_lists_it(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    foreign = container()
    foreign["Config"]["Labels"]["abm.deployment"] = "d2"
    speaker.containers["a1"] = foreign

    assert next(seen) == AllSeen(frozenset())


def test_a_daemon_that_falls_silent_is_lost_and_found_again(
    speaker: Speaker, seen: Iterator[Seen]
) -> None:
    told = changes(seen)
    next(told)
    began = time.monotonic()
    speaker.is_silent.set()
    lost = next(told)
    noticed = time.monotonic() - began
    speaker.is_silent.clear()

    assert isinstance(lost, HostLost) and "did not answer in time" in lost.message
    assert noticed < QUICK.heartbeat + QUICK.answer + 1
    assert any(isinstance(one, HostSeen) for one in seen)


def test_a_daemon_that_is_not_there_is_looked_for_again_and_again(
    socket_path: Path, seen: Iterator[Seen]
) -> None:
    first, second = next(seen), next(seen)
    assert first == second
    assert isinstance(first, HostLost) and "not running" in first.message
    with serving(socket_path, Speaker({"a1": container()})):
        following = next(one for one in seen if not isinstance(one, HostLost))
        assert isinstance(following, ContainerSeen)


def test_the_waits_between_two_tries_grow_to_their_bound() -> None:
    waits = [Pace().wait_after(failures) for failures in range(10)]

    assert waits[:4] == [0.5, 0.5, 1, 2]
    assert waits[-1] == 30
    assert Pace().wait_after(10**6) == 30


def test_a_watch_of_a_silent_daemon_ends_at_once(
    speaker: Speaker, seen: Iterator[Seen], cancel: CancelToken
) -> None:
    next(seen)
    speaker.is_silent.set()
    timer = threading.Timer(0.15, cancel.cancel)
    timer.start()
    began = time.monotonic()
    list(seen)

    assert time.monotonic() - began < 0.5


def test_what_was_not_yet_told_is_not_told_after_the_end(
    speaker: Speaker, seen: Iterator[Seen], cancel: CancelToken
) -> None:
    for number in range(20):
        speaker.containers[f"b{number}"] = container(f"b{number}")
    next(seen)
    cancel.cancel()

    assert list(seen) == []
