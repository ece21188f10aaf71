"""What abm finds of real daemons that run, stop, crash, hang, fill up and refuse."""

from __future__ import annotations

import os
import signal

import docker
import pytest

from hosts.runners.base import ImageNotFound, InstallFailed, PortTaken, RunnerError
from hosts.runners.docker.connection import DockerAddress, connect
from hosts.runners.docker.detection import DockerState, Finding, Limits, Surroundings, detect
from hosts.runners.docker.errors import explain, mapped
from lab.faults import Fault
from lab.faulty_registry import FaultyRegistry
from lab.own import OwnDaemon
from tests.fleet.conftest import MakeDaemon
from tests.fleet.containers import start
from tests.hosts.nobody import as_nobody
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
PLENTY = Limits(disk_free=0, memory_total=0, memory_free=0)


def look(daemon: OwnDaemon, limits: Limits = PLENTY) -> Finding:
    environ = {"DOCKER_HOST": daemon.host}
    return detect(Surroundings(environ=environ, limits=limits, seconds=1))


def age(daemon: OwnDaemon) -> None:
    """As if the daemon had been started long ago."""
    os.utime(daemon.daemon.socket, (0, 0))


class TestStates:
    def test_a_daemon_is_available_with_what_it_says_of_itself(self, daemon: OwnDaemon) -> None:
        found = look(daemon)

        assert found.state is DockerState.AVAILABLE
        facts = found.facts
        assert facts is not None
        disk = os.statvfs(daemon.daemon.data)
        assert facts.disk_total == disk.f_blocks * disk.f_frsize
        assert facts.is_on_this_machine
        assert facts.has_gpu_runtime, "the lab's simulated card has a runtime"
        assert facts.cpu_count == os.cpu_count()
        assert facts.data_root == str(daemon.daemon.data)
        assert facts.versions["Docker"]
        assert facts.machine in {"amd64", "arm64"}

    def test_a_small_disk_degrades_with_its_numbers(self, make_daemon: MakeDaemon) -> None:
        found = look(make_daemon(data_megabytes=64), Limits())

        assert found.state is DockerState.DEGRADED
        assert "of 67.1 MB are free on the disk of" in found.sentence

    def test_it_is_followed_through_stop_and_start(self, daemon: OwnDaemon) -> None:
        daemon.stop()
        stopped = look(daemon)
        daemon.start()

        assert stopped.state is DockerState.UNREACHABLE
        assert look(daemon).state is DockerState.AVAILABLE

    def test_a_crash_of_long_ago_is_told_from_one_just_now(self, daemon: OwnDaemon) -> None:
        """Both leave a socket that refuses; a young one may be a start that goes on."""
        daemon.kill()
        now = look(daemon)
        age(daemon)
        later = look(daemon)

        assert (now.state, later.state) == (DockerState.STARTING, DockerState.UNREACHABLE)

    def test_a_daemon_that_hangs_is_unreachable_in_time(self, daemon: OwnDaemon) -> None:
        age(daemon)
        process = daemon.state.process(daemon.daemon.name)
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            found = look(daemon)
        finally:
            process.send_signal(signal.SIGCONT)

        assert found.state is DockerState.UNREACHABLE
        assert "does not answer" in found.sentence
        until(lambda: look(daemon).state is DockerState.AVAILABLE)

    def test_a_user_without_the_right_is_denied(self, daemon: OwnDaemon) -> None:
        found = as_nobody(lambda: look(daemon))

        assert found.state is DockerState.PERMISSION_DENIED
        assert str(daemon.daemon.socket) in found.sentence


class TestWords:
    """What the daemon says to faults becomes an error of the right kind."""

    @pytest.mark.parametrize(
        ("status", "kind", "words"),
        [
            (404, ImageNotFound, "does not have"),
            (401, InstallFailed, "wants a login"),
            (403, ImageNotFound, "may only be pulled with a login"),
            (429, InstallFailed, "too many requests"),
        ],
    )
    def test_a_refusal_of_the_registry_is_told_in_words(
        self,
        shared_client: docker.DockerClient,
        faulty_registry: FaultyRegistry,
        status: int,
        kind: type[RunnerError],
        words: str,
    ) -> None:
        faulty_registry.fail(Fault(where="/manifests/", status=status))

        with pytest.raises(kind, match=words) as told, mapped("gpu-box"):
            shared_client.images.pull(f"{faulty_registry.address}/lab/tiny:latest")

        assert told.value.detail

    def test_a_registry_that_is_gone_is_told_by_its_address(
        self, shared_client: docker.DockerClient
    ) -> None:
        with pytest.raises(InstallFailed, match=r"127\.0\.0\.1:9"), mapped("gpu-box"):
            shared_client.images.pull("127.0.0.1:9/lab/tiny:latest")

    def test_an_image_without_this_platform_is_not_found(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        lines = shared_client.api.pull(
            f"{registry_address}/lab/foreign-arch", tag="index", stream=True, decode=True
        )

        [said] = [line["error"] for line in lines if "error" in line]
        told = explain(said, host_name="gpu-box")
        assert isinstance(told, ImageNotFound)
        assert "not made for linux/" in told.message

    def test_a_taken_port_is_named(
        self, shared_client: docker.DockerClient, registry_address: str
    ) -> None:
        image = f"{registry_address}/lab/tone"
        _, port = start(shared_client, image)

        with pytest.raises(PortTaken, match=f"Port {port} of gpu-box"), mapped("gpu-box"):
            shared_client.containers.run(
                image, detach=True, ports={"8766/tcp": ("127.0.0.1", port)}
            )

    def test_a_connection_speaks_the_daemons_api(self, daemon: OwnDaemon) -> None:
        client = connect(DockerAddress(daemon.host))
        try:
            assert client.api_version == client.version()["ApiVersion"]
            assert client.ping()
        finally:
            client.close()
