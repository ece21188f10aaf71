"""The engines that the lab makes up misbehave as they promise."""

from __future__ import annotations

import json
import time
from typing import Any

import docker
import pytest

from tests.fleet.containers import answers, ask, start
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet


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
