"""Engines that misbehave in containers: each is ended, explained and leaves the rest alone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hosts.gpu.handing import ALL, Handed
from hosts.gpu.values import Vendor
from hosts.runners.base import EngineSpec, HostUnreachable, ImageNotFound, NoGpu
from hosts.runners.docker.connection import DockerAddress
from hosts.runners.docker.runner import DockerRunner
from jobs.outcome import CancelToken
from lab.fleet import Lab
from lab.own import OwnDaemon, own_daemon
from tests.fleet.containers import answers
from tests.fleet.docker_driver import container_in, runner_at
from tests.fleet.docker_engines import SHELL, Engines, changed, engines_of
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
STUBBORN = (*SHELL, "trap '' TERM; echo up; sleep 60")
HTTPD = "exec /bin/busybox httpd -f -h /www -p"


@pytest.fixture(scope="module")
def shared(lab: Lab, registry_address: str) -> Iterator[Engines]:
    with own_daemon(lab.place) as daemon, contextlib.closing(daemon.client()) as client:
        yield engines_of(daemon, client, registry_address)


@pytest.fixture
def engines(shared: Engines) -> Iterator[Engines]:
    yield shared
    for container in shared.client.containers.list(all=True):
        container.remove(force=True)


def reason(engines: Engines, image: str, **options: Any) -> str:
    """What is said of an engine that ends by itself."""
    spec = engines.started(image, **options)
    until(lambda: engines.runner.status(spec).exit, seconds=30)
    found = engines.runner.status(spec).exit
    assert found is not None and found.at is not None
    return found.reason


class TestEnded:
    def test_one_that_dies_at_once_leaves_its_traceback(self, engines: Engines) -> None:
        said = reason(engines, "dies-at-once")

        assert said.startswith("It ended with status 1: FileNotFoundError: [Errno 2]")

    def test_one_without_its_variable_names_it(self, engines: Engines) -> None:
        assert "needs the variable LAB_TOKEN" in reason(engines, "needs-variable")

    def test_one_without_its_gpu_says_so_and_runs_with_one(self, engines: Engines) -> None:
        assert "looked for a GPU" in reason(engines, "needs-gpu")

        spec = engines.started("needs-gpu", cards=Handed(ALL))
        until(lambda: answers(_port(engines, spec)))

    def test_amds_cards_need_their_nodes(self, engines: Engines) -> None:
        with pytest.raises(NoGpu, match="has no /dev/kfd, by which an engine reaches its cards"):
            engines.started("tiny", cards=Handed(ALL, Vendor.AMD))

    def test_one_that_eats_memory_is_told_its_limit(self, engines: Engines) -> None:
        said = reason(engines, "eats-memory", memory_bytes=48_000_000)

        assert "took more memory than it may. Its limit is 48 MB" in said

    def test_one_whose_program_is_missing_names_it(self, engines: Engines) -> None:
        assert "has no program serve" in reason(engines, "tiny", command=("serve", "--all"))

    def test_one_that_may_not_write_its_volume_says_which(
        self, engines: Engines, tmp_path: Path
    ) -> None:
        for folder in (tmp_path, *list(tmp_path.parents)[:2]):
            folder.chmod(0o755)
        (tmp_path / "models" / "tiny").mkdir(parents=True)

        said = reason(
            engines,
            "tiny",
            command=(*SHELL, "echo x > /app/external_models/x"),
            models=tmp_path / "models",
            user="1234",
        )

        assert said.endswith(f"sudo chown -R 1234 {tmp_path}/models/tiny")

    def test_one_that_docker_starts_again_and_again_can_be_stopped(self, engines: Engines) -> None:
        spec = engines.started(command=(*SHELL, "exit 3"), restart_policy="always")
        until(lambda: container_in(engines.client, spec).attrs["RestartCount"] > 1)

        engines.runner.stop(spec, grace=1)

        assert container_in(engines.client, spec).status == "exited"
        assert not engines.runner.status(spec).is_running


class TestStopped:
    def test_it_is_asked_before_it_is_told(self, engines: Engines) -> None:
        spec = engines.started("tone")
        until(lambda: answers(_port(engines, spec)), seconds=20)

        engines.runner.stop(spec, grace=10)

        found = engines.runner.status(spec).exit
        assert found is not None and found.code == 0
        assert not any("SIGTERM" in line for line in engines.runner.logs(spec, tail=50))

    def test_one_that_ignores_all_is_killed_after_its_grace(self, engines: Engines) -> None:
        spec = engines.started("tone", command=STUBBORN)
        until(lambda: engines.runner.logs(spec, tail=1))

        begun = time.monotonic()
        engines.runner.stop(spec, grace=1)

        assert 0.9 < time.monotonic() - begun < 4
        found = engines.runner.status(spec).exit
        assert found is not None and found.signal == 9

    def test_others_are_served_meanwhile(self, engines: Engines) -> None:
        other = engines.started(name="other")
        slow = engines.started("tone", command=STUBBORN)
        until(lambda: engines.runner.logs(slow, tail=1))

        with runner_at(engines.daemon) as one, runner_at(engines.daemon) as two:
            ending = threading.Thread(target=lambda: one.stop(slow, grace=2))
            ending.start()
            longest = 0.0
            begun_all = time.monotonic()
            while ending.is_alive():
                begun = time.monotonic()
                assert two.status(other).is_running
                longest = max(longest, time.monotonic() - begun)
            assert longest < 0.5 < 1.9 < time.monotonic() - begun_all


class TestInstalled:
    @pytest.mark.parametrize("tag", ["latest", "index"])
    def test_an_image_of_another_architecture_is_refused(self, engines: Engines, tag: str) -> None:
        spec = engines.spec(f"foreign-arch:{tag}")

        with pytest.raises(ImageNotFound, match=r"arm64.*Choose another variant"):
            list(engines.runner.install(spec, CancelToken()))

        assert not engines.runner.status(spec).is_installed

    def test_one_that_was_chosen_all_the_same_is_explained(self, engines: Engines) -> None:
        spec = engines.spec("foreign-arch", platform="linux/arm64")
        *_, last = engines.runner.install(spec, CancelToken())
        assert "may not run on linux/amd64" in last.line

        engines.runner.start(spec)

        until(lambda: engines.runner.status(spec).exit)
        found = engines.runner.status(spec).exit
        assert found is not None and "is made for linux/arm64, which" in found.reason

    def test_one_that_was_built_here_needs_no_registry(self, engines: Engines) -> None:
        tiny = engines.started()
        container_in(engines.client, tiny).commit(repository="127.0.0.1:1/mine", tag="latest")
        spec = changed(tiny, image="127.0.0.1:1/mine:latest")

        told = list(engines.runner.install(spec, CancelToken()))

        assert "built or loaded here" in told[1].line
        engines.runner.start(spec)
        assert engines.runner.status(spec).is_running

    def test_what_came_free_is_told_without_shared_layers(self, engines: Engines) -> None:
        for image in engines.client.images.list():
            engines.client.images.remove(str(image.id), force=True)
        first, second = engines.installed("tone"), engines.installed("never-listens")
        base = engines.runner.size(first) or 0
        assert base > 100_000_000

        assert engines.runner.remove(first) < 1_000_000
        assert engines.runner.remove(second) > 100_000_000


class TestAddress:
    def test_one_on_its_own_loopback_is_told_so(self, engines: Engines) -> None:
        spec = engines.started(command=(*SHELL, f"{HTTPD} 127.0.0.1:$PORT"))
        until(lambda: engines.runner.status(spec).listening_ports)

        assert "listens on 127.0.0.1 inside its container" in engines.runner.address_problem(spec)

    def test_one_on_another_port_is_told_so(self, engines: Engines) -> None:
        spec = engines.started(command=(*SHELL, f"{HTTPD} 9000"))
        until(lambda: engines.runner.status(spec).listening_ports == (9000,))

        assert "port 9000 inside its container instead of 8766" in (
            engines.runner.address_problem(spec)
        )

    def test_one_that_answers_has_no_problem(self, engines: Engines) -> None:
        spec = engines.started()
        until(lambda: answers(_port(engines, spec)))

        assert engines.runner.address_problem(spec) == ""
        assert engines.runner.status(spec).listening_ports == (_port(engines, spec),)
        assert (engines.runner.status(spec).memory_bytes or 0) > 10_000


class TestDaemonGone:
    def test_each_verb_says_that_docker_does_not_run(self, daemon: OwnDaemon) -> None:
        runner = DockerRunner(Path("/nowhere"), DockerAddress(daemon.host))
        runner.probe()
        daemon.kill()

        with pytest.raises(HostUnreachable, match="Docker on this machine"):
            runner.probe()
        with pytest.raises(HostUnreachable, match="is not running"), runner_at(daemon) as other:
            other.probe()


def _port(engines: Engines, spec: EngineSpec) -> int:
    endpoint = engines.runner.status(spec).endpoint
    assert endpoint is not None
    return endpoint.port
