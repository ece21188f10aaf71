"""Pulling through a real socket on which a recorded stream comes again: silence, ends, failures.

The same against a real daemon and registry stands in tests/fleet/test_pull.py.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.tls import TLSConfig

from hosts.oci.manifests import Layer
from hosts.oci.platforms import Platform
from hosts.oci.reference import ImageReference
from hosts.oci.sizes import ImageSizes
from hosts.runners.base import (
    DiskFull,
    HostUnreachable,
    ImageNotFound,
    InstallFailed,
    Progress,
    RunnerError,
)
from hosts.runners.docker.pull import PulledImage, pull
from jobs.outcome import Cancelled, CancelToken
from tests.hosts.replaying import IMAGE, Replay, replaying
from tests.hosts.test_docker_connection import Authority, daemon_context
from tests.hosts.test_pull_progress import SIZES, recorded

REFERENCE = ImageReference.parse("127.0.0.1:5000/lab/mid:1")
KNOWN = ImageSizes(
    REFERENCE,
    "sha256:" + "2" * 64,
    Platform("linux", "amd64"),
    tuple(Layer(f"sha256:{key}{'0' * 52}", size) for key, size in SIZES.items()),
    "sha256:" + "1" * 64,
    (),
)
AT_ONCE = 0.5
Start = Callable[..., Replay]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(**wanted: Any) -> Replay:
            return stack.enter_context(replaying(Replay(tmp_path / "docker.sock", **wanted)))

        yield begin


def pulled(replay: Replay, **more: Any) -> tuple[list[Progress], PulledImage]:
    """All progress of a pull, and what it gave."""
    told: list[Progress] = []
    pulling = pull(replay.client(), REFERENCE, cancel=more.pop("cancel", CancelToken()), **more)
    while True:
        try:
            told.append(next(pulling))
        except StopIteration as end:
            return told, end.value


def test_a_pull_ends_at_one_with_the_image_that_docker_has(start: Start) -> None:
    told, image = pulled(start(stream=recorded("cold")), sizes=KNOWN)

    assert image.id == IMAGE["Id"]
    assert list(image.digests) == IMAGE["RepoDigests"]
    assert (image.size, image.platform, image.was_here) == (24_000_000, "linux/amd64", False)
    assert told[-1].fraction == 1
    assert told[-1].bytes_done == told[-1].bytes_total == sum(SIZES.values())
    assert "127.0.0.1:5000/lab/mid:1 is on this machine: 24.0 MB unpacked." in told[-1].line
    assert {layer.state for layer in told[-1].layers} == {"done"}


def test_no_progress_of_a_pull_goes_back(start: Start) -> None:
    told, _ = pulled(start(stream=recorded("broken_off_and_resumed")))
    fractions = [progress.fraction or 0.0 for progress in told]

    assert fractions == sorted(fractions)


def test_an_image_that_is_there_says_so(start: Start) -> None:
    told, image = pulled(start(stream=recorded("up_to_date")), sizes=KNOWN)

    assert image.was_here
    assert told[-1].fraction == 1


def test_the_request_names_the_image_its_version_and_platform(start: Start) -> None:
    replay = start(stream=recorded("cold"))
    pulled(replay, platform="linux/amd64")

    assert replay.requests[0].startswith(
        "POST /v1.41/images/create?fromImage=127.0.0.1%3A5000%2Flab%2Fmid&tag=1"
        "&platform=linux%2Famd64 HTTP/1.1"
    )


def test_a_login_travels_in_its_header_alone(start: Start) -> None:
    replay = start(stream=recorded("cold"))
    pulled(replay, auth={"username": "ann", "password": "s3cret"})
    headers = dict(
        row.split(": ", 1) for row in replay.requests[0].split("\r\n")[1:] if ": " in row
    )

    sent = json.loads(base64.urlsafe_b64decode(headers["X-Registry-Auth"]))
    assert sent == {"username": "ann", "password": "s3cret"}


@pytest.mark.engine  # it waits
@pytest.mark.parametrize("silent_after", [-1, 10], ids=["before the head", "in mid-pull"])
def test_a_silent_pull_gives_a_word_every_second(start: Start, silent_after: int) -> None:
    replay = start(stream=recorded("cold"), silent_after=silent_after)
    token = CancelToken()
    times: list[float] = []
    with pytest.raises(Cancelled):
        for progress in pull(replay.client(), REFERENCE, cancel=token, sizes=KNOWN):
            times.append(time.monotonic())
            if progress.stalled_for > 1.1:
                token.cancel()

    assert max(after - before for before, after in pairwise(times)) < 1
    assert len(times) >= 2


@pytest.mark.parametrize("silent_after", [-1, 10], ids=["before the head", "in mid-pull"])
def test_a_silent_pull_is_cancelled_at_once_and_docker_is_told(
    start: Start, silent_after: int
) -> None:
    replay = start(stream=recorded("cold"), silent_after=silent_after)
    token = CancelToken()
    cancelled_at: list[float] = []

    def cancel() -> None:
        replay.is_silent.wait(5)
        cancelled_at.append(time.monotonic())
        token.cancel("Cancelled by ann.")

    threading.Thread(target=cancel).start()
    with pytest.raises(Cancelled, match=r"Cancelled by ann\."):
        pulled(replay, cancel=token)

    assert time.monotonic() - cancelled_at[0] < AT_ONCE
    assert replay.was_hung_up.wait(AT_ONCE), "Docker would go on pulling"


def test_nothing_more_is_told_after_a_cancel(start: Start) -> None:
    replay, token = start(stream=recorded("cold"), silent_after=30), CancelToken()
    told = []
    with pytest.raises(Cancelled):
        for progress in pull(replay.client(), REFERENCE, cancel=token):
            told.append(progress)
            assert replay.is_silent.wait(5), "by now all lines are waiting"
            token.cancel()

    assert len(told) == 1


def test_a_silent_pull_over_tls_is_cancelled_at_once_too(start: Start, tmp_path: Path) -> None:
    authority = Authority()
    mine = authority.write(tmp_path / "mine")
    replay = start(
        stream=recorded("cold"), silent_after=10, tls=daemon_context(authority, tmp_path / "theirs")
    )
    tls = TLSConfig(
        client_cert=(str(mine / "cert.pem"), str(mine / "key.pem")),
        ca_cert=str(mine / "ca.pem"),
        verify=True,
    )
    address = f"https://127.0.0.1:{replay.port}"
    client = docker.APIClient(address, version="1.41", timeout=5, tls=tls)
    client.trust_env = False
    token = CancelToken()
    with pytest.raises(Cancelled):
        for _ in pull(client, REFERENCE, cancel=token):
            if replay.is_silent.is_set():
                began = time.monotonic()
                token.cancel()

    assert time.monotonic() - began < AT_ONCE
    assert replay.was_hung_up.wait(AT_ONCE)


def test_who_stops_listening_hangs_up(start: Start) -> None:
    replay = start(stream=recorded("cold"), silent_after=10)
    pulling = pull(replay.client(), REFERENCE, cancel=CancelToken())
    next(pulling)
    assert replay.is_silent.wait(5)
    pulling.close()

    assert replay.was_hung_up.wait(AT_ONCE)


def test_a_pull_that_was_cancelled_before_asks_nothing(start: Start) -> None:
    replay, token = start(stream=recorded("cold")), CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        pulled(replay, cancel=token)

    assert replay.requests == []


def test_no_thread_is_left_behind(start: Start) -> None:
    before = {thread for thread in threading.enumerate() if thread.name.startswith("docker ")}
    pulled(start(stream=recorded("cold")))
    after = {thread for thread in threading.enumerate() if thread.name.startswith("docker ")}

    assert after == before


@pytest.mark.engine  # it waits
def test_a_long_silence_is_said_once_with_the_way_out(start: Start) -> None:
    replay, token = start(stream=recorded("cold"), silent_after=10), CancelToken()
    said: list[str] = []
    with pytest.raises(Cancelled):
        for progress in pull(replay.client(), REFERENCE, cancel=token, stall_notice=0.6):
            said.append(progress.line)
            if progress.stalled_for > 1.3:
                token.cancel()

    notices = [line for line in said if line.startswith("Nothing has come for")]
    assert len(notices) == 1
    assert "127.0.0.1:5000" in notices[0]
    assert "cancel and try again" in notices[0]


FAILURES = {
    "disk_full": (DiskFull, "disk of gpu-box is full"),
    "layer_changed": (InstallFailed, "arrived changed"),
    "registry_gone": (InstallFailed, "no good connection to the registry 127.0.0.1:5000"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_in_the_stream_is_told_in_words(start: Start, name: str) -> None:
    kind, words = FAILURES[name]
    with pytest.raises(kind) as failed:
        pulled(start(stream=recorded(name)), host_name="gpu-box")

    assert failed.value.message.startswith("127.0.0.1:5000/lab/mid:1 was not pulled. ")
    assert words in failed.value.message
    assert failed.value.detail == recorded(name)[-1]["error"]


REASONS = [
    (404, "manifest for x:1 not found: manifest unknown: manifest unknown", ImageNotFound, "x:1"),
    (
        404,
        "pull access denied for x, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied",
        ImageNotFound,
        "login",
    ),
    (500, "unauthorized: authentication required", InstallFailed, "wants a login"),
    (500, "no basic auth credentials", InstallFailed, "wants a login"),
    (
        500,
        "toomanyrequests: You have reached your pull rate limit.",
        InstallFailed,
        "too many requests",
    ),
    (500, "error pulling image configuration: unexpected EOF", InstallFailed, "connection"),
    (500, 'Get "https://r/v2/": EOF', InstallFailed, "connection"),
    (
        500,
        "read tcp 10.0.0.1:5->10.0.0.2:443: read: connection reset by peer",
        InstallFailed,
        "network",
    ),
    (500, 'Get "https://r/v2/": net/http: TLS handshake timeout', InstallFailed, "connection"),
    (
        500,
        'Get "https://r/v2/": x509: certificate signed by unknown authority',
        InstallFailed,
        "does not trust the certificate",
    ),
    (
        500,
        'Get "https://r/v2/": http: server gave HTTP response to HTTPS client',
        InstallFailed,
        "insecure-registries",
    ),
    (500, "write /data/x: no space left on device", DiskFull, "full"),
    (
        500,
        'failed commit on ref "layer-sha256:ab": unexpected commit digest sha256:cd, expected '
        "sha256:ab: failed precondition",
        InstallFailed,
        "arrived changed",
    ),
    (500, "received unexpected HTTP status: 503 Service Unavailable", InstallFailed, "503"),
    (
        404,
        "no matching manifest for linux/arm64/v8 in the manifest list entries",
        ImageNotFound,
        "linux/arm64",
    ),
]


@pytest.mark.parametrize(("status", "text", "kind", "words"), REASONS)
def test_a_refusal_is_told_in_words_with_the_raw_text_below(
    start: Start, status: int, text: str, kind: type[RunnerError], words: str
) -> None:
    with pytest.raises(kind) as failed:
        pulled(start(refusal=(status, text)))

    assert words in failed.value.message
    assert failed.value.message != text
    assert failed.value.detail == text


def test_a_daemon_that_dies_in_mid_pull_is_told_as_that(start: Start) -> None:
    with pytest.raises(HostUnreachable, match="connection to Docker on gpu-box broke"):
        pulled(start(stream=recorded("cold")[:12], cuts_off=True), host_name="gpu-box")


def test_a_daemon_that_is_not_there_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="Docker on this machine is not running"):
        pulled(Replay(tmp_path / "none.sock"))


def test_an_answer_that_is_not_docker_is_told_as_that(start: Start) -> None:
    replay = start(refusal=(500, "<html>proxy</html>"))
    with pytest.raises(InstallFailed, match="What it said stands below") as failed:
        pulled(replay)

    assert failed.value.detail == "<html>proxy</html>"


def test_a_pull_that_left_no_image_has_failed(start: Start) -> None:
    with pytest.raises(InstallFailed, match="does not have it now"):
        pulled(start(stream=recorded("cold"), image=None))


def test_an_image_for_another_machine_is_not_what_was_asked_for(start: Start) -> None:
    with pytest.raises(ImageNotFound, match="is made for linux/amd64, not for linux/arm64"):
        pulled(start(stream=recorded("cold")), platform="linux/arm64")
