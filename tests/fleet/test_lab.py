"""The lab is what the tests on it believe: up in a moment, with all images in its registry."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import docker
import pytest

from catalog.reading import read_catalog
from lab.fleet import Lab
from lab.made_images import tiny_layer, tiny_run
from lab.place import PROJECT
from lab.pushing import Pusher
from lab.registry import Registry
from lab.state import State, end
from tests.fleet.containers import answers, ask, start
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
COMPATIBLE = "1.1.2"


def run_lab(verb: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", verb],
        cwd=PROJECT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class TestUp:
    def test_a_second_up_is_quick_and_changes_nothing(self, lab: Lab) -> None:
        before = State(lab.place).processes
        begun = time.monotonic()

        said = run_lab("up")

        assert said.returncode == 0, said.stderr
        assert time.monotonic() - begun < 5
        assert State(lab.place).processes == before

    def test_up_starts_again_what_died(self, lab: Lab) -> None:
        before = State(lab.place).process("files")
        assert before is not None
        end(before)
        assert run_lab("status").returncode == 1

        said = run_lab("up")

        assert said.returncode == 0, said.stderr
        assert State(lab.place).process("files") not in {None, before}
        assert run_lab("status").returncode == 0

    def test_env_names_a_daemon_that_answers(self, lab: Lab) -> None:
        variables = dict(line.split("=", 1) for line in run_lab("env").stdout.splitlines())

        with contextlib.closing(docker.DockerClient(base_url=variables["DOCKER_HOST"])) as client:
            assert client.ping()
        assert lab.place.environment_file.read_text() == lab.environment()

    def test_status_ends_well(self, lab: Lab) -> None:
        assert run_lab("status").returncode == 0

    @pytest.mark.parametrize(
        ("name", "text", "says"),
        [
            ("ABM_LAB_REGISTRY_PORT", "five", "ABM_LAB_REGISTRY_PORT is 'five', which is not"),
            ("ABM_LAB_DIR", "/tmp/" + "long" * 20, "Set ABM_LAB_DIR to a short one"),
        ],
    )
    def test_a_wrong_setting_is_refused_in_words(self, name: str, text: str, says: str) -> None:
        said = run_lab("up", **{name: text})

        assert said.returncode == 1
        assert says in said.stderr
        assert "Traceback" not in said.stderr

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
