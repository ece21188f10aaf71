"""The lab is what the tests on it believe: real daemons, real registries, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import docker
import pytest

from catalog.reading import read_catalog
from lab.fleet import Lab
from lab.made_images import tiny_layer, tiny_run
from lab.place import PROJECT
from lab.pushing import Pusher
from lab.registry import Registry
from lab.state import State
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
COMPATIBLE = "1.1.2"


def run_lab(verb: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", verb],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def free_port() -> int:
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(port: int, path: str, *, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=30) as answer:
        return bytes(answer.read())


def answers(port: int) -> bool:
    try:
        return bool(ask(port, "/health"))
    except OSError:
        return False


def start(client: docker.DockerClient, image: str, **options: Any) -> tuple[Any, int]:
    """A container of an image that is pulled first, with its port published on the loopback."""
    port = free_port()
    client.images.pull(image)
    ports = {"8766/tcp": ("127.0.0.1", port)}
    return client.containers.run(image, detach=True, ports=ports, **options), port


class TestUp:
    def test_a_second_up_is_quick_and_changes_nothing(self, lab: Lab) -> None:
        before = State(lab.place).processes
        begun = time.monotonic()

        said = run_lab("up")

        assert said.returncode == 0, said.stderr
        assert time.monotonic() - begun < 5
        assert State(lab.place).processes == before

    def test_env_names_a_daemon_that_answers(self, lab: Lab) -> None:
        variables = dict(line.split("=", 1) for line in run_lab("env").stdout.splitlines())

        with contextlib.closing(docker.DockerClient(base_url=variables["DOCKER_HOST"])) as client:
            assert client.ping()
        assert lab.place.environment_file.read_text() == lab.environment()

    def test_status_ends_well(self, lab: Lab) -> None:
        assert run_lab("status").returncode == 0

    def test_elsewhere_than_on_linux_as_root_one_line_says_so(self, tmp_path: Path) -> None:
        def nobody() -> None:
            os.setgid(65534)
            os.setuid(65534)

        code = (
            "from lab.place import *\n"
            "try: check_machine(the_place())\n"
            "except LabError as error: print(error)"
        )
        said = subprocess.run(
            ["/usr/bin/env", "python3", "-c", code],
            cwd=PROJECT,
            env={"PATH": "/usr/bin:/bin", "ABM_LAB_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=20,
            preexec_fn=nobody,
            check=False,
        )

        assert said.stdout == (
            "The lab needs Linux and root: it starts a Docker daemon of its own.\n"
        )


class TestCatalog:
    def test_abm_reads_it_and_every_image_is_in_the_registry(self, lab: Lab) -> None:
        with urllib.request.urlopen(lab.place.catalog_url, timeout=10) as answer:
            reading = read_catalog(answer.read(), compatible_with=COMPATIBLE)

        assert reading.problems == ()
        assert {"espeak-ng", "pocketsphinx", "pysbd", "silero-vad", "tone", "large"} <= {
            found.definition.name for found in reading.engines
        }
        with Pusher(lab.place.registry) as pusher:
            for found in reading.engines:
                name = found.image.removeprefix(f"{lab.place.registry}/")
                assert pusher.find(name) is not None, found.image

    @pytest.mark.parametrize("name", ["espeak-ng", "pocketsphinx", "pysbd", "silero-vad"])
    def test_a_bundled_engine_runs_as_a_container(
        self, shared_client: docker.DockerClient, registry_address: str, name: str
    ) -> None:
        _, port = start(shared_client, f"{registry_address}/lab/{name}:0.1.0")

        until(lambda: answers(port), 20)
        assert json.loads(ask(port, "/info"))["name"] == name


class TestRegistry:
    def test_it_mirrors_docker_hub(self, shared_client: docker.DockerClient) -> None:
        shared_client.images.pull("python", tag="3.11-slim")

        said = shared_client.containers.run(
            "python:3.11-slim", ["python3", "--version"], remove=True
        )
        assert said.startswith(b"Python 3.11.")

    def test_the_large_image_is_large_and_has_many_layers(self, lab: Lab) -> None:
        with Pusher(lab.place.registry) as pusher:
            image = pusher.find("lab/large")

        assert image is not None
        assert len(image.layers) >= 12
        assert 200e6 < sum(layer["size"] for layer in image.layers) < 400e6

    def test_an_image_can_be_deleted(self, pusher: Pusher, own_images: Registry) -> None:
        digest = pusher.push("lab/tiny", "latest", [tiny_layer()], run=tiny_run())

        pusher.delete("lab/tiny", digest)

        assert pusher.find("lab/tiny") is None

    def test_a_pushed_image_has_the_digest_that_docker_sees(
        self, pusher: Pusher, own_images: Registry, shared_client: docker.DockerClient
    ) -> None:
        digest = pusher.push("lab/tiny", "latest", [tiny_layer()], run=tiny_run())

        image = shared_client.images.pull(f"{own_images.address}/lab/tiny:latest")

        assert image.attrs["RepoDigests"] == [f"{own_images.address}/lab/tiny@{digest}"]


class TestForeignArchitecture:
    def test_a_plain_manifest_is_pulled_and_cannot_run(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        image = shared_client.images.pull(f"{registry_address}/lab/foreign-arch:latest")

        assert image.attrs["Architecture"] == "arm64"
        container = shared_client.containers.run(image, detach=True)
        assert container.wait(timeout=20)["StatusCode"] != 0
        assert b"exec format error" in container.logs()

    def test_an_index_without_this_platform_is_not_pulled(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        lines = shared_client.api.pull(
            f"{registry_address}/lab/foreign-arch", tag="index", stream=True, decode=True
        )

        assert [line["error"] for line in lines if "error" in line] == [
            "no matching manifest for linux/amd64 in the manifest list entries"
        ]


class TestMadeEngines:
    def test_tone_loads_and_speaks(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        container, port = start(shared_client, f"{registry_address}/lab/tone")
        until(lambda: answers(port))

        assert json.loads(ask(port, "/load", body=b'{"engineModelName": "tone"}'))["error"] is None
        assert ask(port, "/generate", body=b'{"text": "One."}').startswith(b"RIFF")
        container.stop(timeout=10)
        assert container.wait()["StatusCode"] == 0

    def test_it_listens_and_loads_as_late_as_it_is_told(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        late = {"LISTEN_SECONDS": "1", "LOAD_SECONDS": "1"}
        begun = time.monotonic()
        _, port = start(shared_client, f"{registry_address}/lab/loads-slowly", environment=late)
        started = time.monotonic()

        until(lambda: answers(port))
        assert time.monotonic() - begun > 1
        assert time.monotonic() - started < 5
        begun = time.monotonic()
        ask(port, "/load", body=b"{}")
        assert time.monotonic() - begun > 1

    def test_the_first_start_fetches_a_model_once(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        small = {"MODEL_MB": "3", "MODEL_MB_PER_SECOND": "30"}
        volumes = {"lab-models": {"bind": "/app/external_models"}}
        image = f"{registry_address}/lab/downloads-first"
        first, port = start(shared_client, image, environment=small, volumes=volumes)
        until(lambda: answers(port))
        second, port = start(shared_client, image, environment=small, volumes=volumes)
        until(lambda: answers(port))

        assert b"downloading tone.bin: 3 of 3 MB" in first.logs()
        assert b"downloading" not in second.logs()

    @pytest.mark.parametrize(
        ("name", "code", "says"),
        [
            ("dies-at-once", 1, b"FileNotFoundError: [Errno 2]"),
            ("needs-variable", 1, b"LAB_TOKEN is not set"),
            ("needs-gpu", 1, b"Found no NVIDIA driver"),
        ],
    )
    def test_one_that_ends_says_why(
        self,
        shared_client: docker.DockerClient,
        registry_address: str,
        name: str,
        code: int,
        says: bytes,
    ) -> None:
        container, _ = start(shared_client, f"{registry_address}/lab/{name}")

        assert container.wait(timeout=20)["StatusCode"] == code
        assert says in container.logs()

    def test_one_that_eats_memory_is_ended_by_the_kernel(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        container, _ = start(shared_client, f"{registry_address}/lab/eats-memory", mem_limit="48m")

        assert container.wait(timeout=30)["StatusCode"] == 137
        container.reload()
        assert container.attrs["State"]["OOMKilled"] is True

    def test_one_that_ignores_sigterm_must_be_killed(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        container, port = start(shared_client, f"{registry_address}/lab/ignores-term")
        until(lambda: answers(port))

        container.stop(timeout=1)

        assert container.wait()["StatusCode"] == 137
        assert b"SIGTERM: ignored" in container.logs()

    def test_one_that_never_listens_runs_on(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        container, port = start(shared_client, f"{registry_address}/lab/never-listens")

        until(lambda: b"never done" in container.logs())
        container.reload()
        assert container.status == "running"
        assert not answers(port)


class TestSimulatedCard:
    @pytest.mark.parametrize(
        ("wanted", "seen"), [({"count": -1}, b"all"), ({"device_ids": ["1"]}, b"1")]
    )
    def test_a_container_may_ask_for_it(
        self,
        shared_client: docker.DockerClient,
        registry_address: str,
        wanted: dict[str, Any],
        seen: bytes,
    ) -> None:
        image = shared_client.images.pull(f"{registry_address}/lab/tiny:latest")
        request = docker.types.DeviceRequest(capabilities=[["gpu"]], **wanted)

        said = shared_client.containers.run(
            image,
            ["/bin/sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES"],
            device_requests=[request],
            remove=True,
        )

        assert said.strip() == seen
        assert "nvidia" in shared_client.info()["Runtimes"]
