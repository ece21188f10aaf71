"""The door in front of a registry fails as it is told, in ways that a real daemon notices."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import docker
import httpx
import pytest

from lab.faults import Fault, Login
from lab.faulty_registry import FaultyRegistry
from lab.made_images import made_up_layers, tiny_layer, tiny_run
from lab.pushing import MANIFEST, Pusher
from tests.fleet.conftest import MakeDaemon
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
BLOBS, MANIFESTS = "/blobs/", "/manifests/"


@pytest.fixture
def image(pusher: Pusher, faulty_registry: FaultyRegistry) -> str:
    """A fresh image of three layers behind the door, named without its tag."""
    layers = [tiny_layer(), *made_up_layers(2, 4)]
    pusher.push("lab/tiny", "latest", layers, run=tiny_run())
    return f"{faulty_registry.address}/lab/tiny"


def pull(client: docker.DockerClient, image: str) -> list[dict[str, Any]]:
    return list(client.api.pull(image, tag="latest", stream=True, decode=True))


def errors(lines: list[dict[str, Any]]) -> list[str]:
    return [line["error"] for line in lines if "error" in line]


@contextlib.contextmanager
def pulling(client: docker.DockerClient, image: str) -> Iterator[list[dict[str, Any]]]:
    """A pull in a thread, and the lines that it has had so far."""
    lines: list[dict[str, Any]] = []

    def read() -> None:
        lines.extend(client.api.pull(image, tag="latest", stream=True, decode=True))

    thread = threading.Thread(target=read)
    thread.start()
    yield lines
    thread.join(30)
    assert not thread.is_alive()


def get(door: FaultyRegistry, path: str, **options: Any) -> httpx.Response:
    return httpx.get(f"http://{door.address}/v2/{path}", timeout=10, **options)


class TestPassingOn:
    def test_a_daemon_pulls_through_it(
        self, docker_client: docker.DockerClient, faulty_registry: FaultyRegistry, image: str
    ) -> None:
        lines = pull(docker_client, image)

        assert errors(lines) == []
        assert docker_client.images.get(f"{image}:latest")
        assert faulty_registry.count(BLOBS, method="GET") == 4  # three layers and the config
        assert faulty_registry.count(MANIFESTS) >= 1

    def test_a_daemon_pushes_through_it(
        self,
        docker_client: docker.DockerClient,
        faulty_registry: FaultyRegistry,
        image: str,
        pusher: Pusher,
    ) -> None:
        pull(docker_client, image)
        copy = f"{faulty_registry.address}/lab/copy"
        docker_client.api.tag(f"{image}:latest", copy)

        lines = list(docker_client.api.push(copy, tag="latest", stream=True, decode=True))

        assert errors(lines) == []
        assert pusher.find("lab/copy") is not None

    def test_the_images_of_the_lab_are_behind_the_other_one(
        self, docker_client: docker.DockerClient, faulty_lab_registry: FaultyRegistry
    ) -> None:
        assert docker_client.images.pull(f"{faulty_lab_registry.address}/lab/tiny", tag="latest")


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "says"),
        [
            (401, "unauthorized: authentication required"),
            (403, "denied"),
            (404, "not found: manifest unknown"),
            (429, "toomanyrequests: You have reached your pull rate limit."),
        ],
    )
    def test_a_daemon_says_what_it_was_refused(
        self,
        docker_client: docker.DockerClient,
        faulty_registry: FaultyRegistry,
        image: str,
        status: int,
        says: str,
    ) -> None:
        faulty_registry.fail(Fault(MANIFESTS, status=status))

        with pytest.raises(docker.errors.APIError) as raised:
            pull(docker_client, image)

        assert says in str(raised.value)

    def test_it_counts_and_times_out(self, faulty_registry: FaultyRegistry, image: str) -> None:
        faulty_registry.fail(Fault(MANIFESTS, times=2, status=429, headers={"Retry-After": "7"}))
        path, accept = "lab/tiny/manifests/latest", {"Accept": MANIFEST}

        first, second, third = [get(faulty_registry, path, headers=accept) for _ in range(3)]

        assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
        assert (second.status_code, third.status_code) == (429, 200)
        assert [one.status for one in faulty_registry.asked] == [429, 429, 200]


class TestBodies:
    def test_a_stall_lasts_until_it_is_healed(
        self, docker_client: docker.DockerClient, faulty_registry: FaultyRegistry, image: str
    ) -> None:
        faulty_registry.fail(Fault(BLOBS, method="GET", stalls_after=1000))

        with pulling(docker_client, image) as lines:
            until(lambda: faulty_registry.in_flight >= 3)
            faulty_registry.heal()

        assert errors(lines) == []
        assert docker_client.images.get(f"{image}:latest")

    def test_silence_lasts_until_it_is_healed(
        self, docker_client: docker.DockerClient, faulty_registry: FaultyRegistry, image: str
    ) -> None:
        faulty_registry.fail(Fault(MANIFESTS, is_silent=True))

        with pulling(docker_client, image) as lines:
            until(lambda: faulty_registry.in_flight == 1)
            assert lines == []
            faulty_registry.heal()

        assert errors(lines) == []

    def test_whoever_hangs_up_on_a_stall_is_no_longer_in_flight(
        self, faulty_registry: FaultyRegistry, image: str
    ) -> None:
        faulty_registry.fail(Fault(MANIFESTS, is_silent=True))

        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"http://{faulty_registry.address}/v2/lab/tiny/manifests/latest", timeout=0.2)

        until(lambda: faulty_registry.in_flight == 0)

    def test_one_cut_is_mended_by_the_daemon(
        self, docker_client: docker.DockerClient, faulty_registry: FaultyRegistry, image: str
    ) -> None:
        faulty_registry.fail(Fault(BLOBS, method="GET", times=1, cuts_after=100))

        assert errors(pull(docker_client, image)) == []

    def test_a_cut_leaves_a_body_short(self, faulty_registry: FaultyRegistry, image: str) -> None:
        faulty_registry.fail(Fault(MANIFESTS, cuts_after=20))

        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            get(faulty_registry, "lab/tiny/manifests/latest", headers={"Accept": MANIFEST})

    def test_a_changed_layer_fails_its_digest(
        self, docker_client: docker.DockerClient, faulty_registry: FaultyRegistry, image: str
    ) -> None:
        faulty_registry.fail(Fault(tiny_layer().digest, method="GET", corrupts=True))

        [error] = errors(pull(docker_client, image))

        assert "filesystem layer verification failed for digest" in error

    def test_a_slow_one_is_slow(self, faulty_registry: FaultyRegistry, image: str) -> None:
        length = len(get(faulty_registry, "lab/tiny/manifests/latest").content)
        faulty_registry.heal()
        faulty_registry.fail(Fault(MANIFESTS, bytes_per_second=length * 2))
        begun = time.monotonic()

        get(faulty_registry, "lab/tiny/manifests/latest")

        assert 0.4 < time.monotonic() - begun < 5


class TestStopping:
    def test_it_is_refused_and_comes_back_on_the_same_port(
        self, faulty_registry: FaultyRegistry, image: str
    ) -> None:
        address = faulty_registry.address
        faulty_registry.stop()
        with pytest.raises(httpx.ConnectError):
            get(faulty_registry, "")

        faulty_registry.start()

        assert faulty_registry.address == address
        assert get(faulty_registry, "").status_code == 200

    def test_stopped_in_mid_pull_the_daemon_says_so(
        self, make_daemon: MakeDaemon, faulty_registry: FaultyRegistry, image: str
    ) -> None:
        faulty_registry.fail(Fault(BLOBS, method="GET", stalls_after=1000))

        client = make_daemon(download_attempts=1).client()
        with contextlib.closing(client), pulling(client, image) as lines:
            until(lambda: faulty_registry.in_flight >= 3)
            faulty_registry.stop()

        assert len(errors(lines)) == 1


class TestLogin:
    @pytest.mark.parametrize("gives_tokens", [False, True], ids=["basic", "token"])
    def test_only_the_right_name_and_password_come_in(
        self,
        docker_client: docker.DockerClient,
        faulty_registry: FaultyRegistry,
        image: str,
        gives_tokens: bool,
    ) -> None:
        faulty_registry.login = Login("anna", "secret", gives_tokens=gives_tokens)
        login = {"username": "anna", "password": "secret"}

        with pytest.raises(docker.errors.APIError):
            docker_client.api.pull(image, tag="latest", auth_config={**login, "password": "wrong"})
        with pytest.raises(docker.errors.APIError):
            docker_client.api.pull(image, tag="latest")

        docker_client.api.pull(image, tag="latest", auth_config=login)
        assert docker_client.images.get(f"{image}:latest")
