"""Daemons and registries of a test's own: broken, repaired, and gone without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import psutil
import pytest
from docker.errors import DockerException
from docker.models.containers import Container

from lab import file_server
from lab.daemon import CGROUPS
from lab.fleet import Lab
from lab.made_images import made_up_layers, tiny_layer, tiny_run
from lab.network import mounts_below
from lab.own import OwnDaemon, end_leftovers, own_daemon, own_registry
from lab.place import PROJECT, LabError, Place
from lab.pushing import Layer, Pusher
from lab.registry import Registry
from lab.state import State, end
from tests.fleet.conftest import MakeDaemon
from tests.fleet.containers import answers, free_port, start
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet


def traces(folder: Path, bridge: str, cgroup: str) -> list[str]:
    """What is left of a daemon: processes, mounts, links, control groups, files."""
    processes = [line for words in _arguments() if str(folder) in (line := " ".join(words))]
    links = [bridge] if bridge in psutil.net_if_addrs() else []
    groups = [str(group) for group in CGROUPS.glob(f"*/{cgroup}")]
    files = [str(folder)] if folder.exists() else []
    return [*processes, *mounts_below(folder), *links, *groups, *files]


class TestOwnDaemon:
    def test_it_is_empty_and_its_containers_are_nobody_elses(
        self, daemon: OwnDaemon, lab: Lab, registry_address: str
    ) -> None:
        with (
            contextlib.closing(daemon.client()) as own,
            contextlib.closing(lab.local.client()) as shared,
        ):
            assert own.images.list(all=True) == []
            container, _ = start(own, f"{registry_address}/lab/tiny")

            assert container.id not in {one.id for one in shared.containers.list(all=True)}

    def test_nothing_is_left_of_it_and_its_containers(
        self, lab: Lab, registry_address: str
    ) -> None:
        with own_daemon(lab.place) as own, contextlib.closing(own.client()) as client:
            _, port = start(client, f"{registry_address}/lab/tiny")
            client.networks.create("one-more")
            until(lambda: answers(port))
            daemon = own.daemon
            assert traces(daemon.folder, daemon.bridge, daemon.cgroup)

        assert traces(daemon.folder, daemon.bridge, daemon.cgroup) == []
        assert not answers(port)

    def test_killed_it_leaves_containers_that_the_end_finds(
        self, lab: Lab, registry_address: str
    ) -> None:
        with own_daemon(lab.place) as own, contextlib.closing(own.client()) as client:
            container, _ = start(client, f"{registry_address}/lab/ignores-term")
            until(lambda: b"listens" in container.logs())
            inside = psutil.Process(_pid(container))
            daemon = own.daemon
            own.kill()
            assert inside.is_running()
            assert not daemon.answers()

        assert not inside.is_running()
        assert traces(daemon.folder, daemon.bridge, daemon.cgroup) == []

    def test_killed_it_can_be_started_again_with_its_images(
        self, daemon: OwnDaemon, registry_address: str
    ) -> None:
        with contextlib.closing(daemon.client()) as client:
            client.images.pull(f"{registry_address}/lab/tiny:latest")
        daemon.kill()
        with pytest.raises(DockerException):
            daemon.client()

        daemon.start()

        with contextlib.closing(daemon.client()) as client:
            assert client.images.list()[0].tags == [f"{registry_address}/lab/tiny:latest"]

    @pytest.mark.parametrize("how", ["stop", "kill"])
    def test_its_containers_are_kept_over_a_restart(
        self, daemon: OwnDaemon, registry_address: str, how: str
    ) -> None:
        with contextlib.closing(daemon.client()) as client:
            container, port = start(client, f"{registry_address}/lab/tiny")
            until(lambda: answers(port))

            getattr(daemon, how)()
            assert not daemon.daemon.answers()
            daemon.start()

            until(lambda: client.containers.get(container.id).status == "exited")
            client.containers.get(container.id).start()
            until(lambda: answers(port))

    def test_a_dead_containerd_is_repaired_as_well(self, daemon: OwnDaemon) -> None:
        containerd = daemon.state.process("docker-containerd")
        assert containerd is not None
        end(containerd, seconds=0)

        daemon.start()

        with contextlib.closing(daemon.client()) as client:
            assert client.info()["Containers"] == 0

    def test_a_small_one_runs_full(
        self, make_daemon: MakeDaemon, pusher: Pusher, own_images: Registry
    ) -> None:
        pusher.push("lab/wide", "latest", made_up_layers(2, 80), run=tiny_run())
        with contextlib.closing(make_daemon(data_megabytes=60).client()) as client:
            lines = client.api.pull(f"{own_images.address}/lab/wide", stream=True, decode=True)
            errors = [line["error"] for line in lines if "error" in line]

        assert len(errors) == 1
        assert "no space left on device" in errors[0]


class TestBuild:
    def test_it_builds_from_a_docker_hub_name(
        self, docker_client: docker.DockerClient, tmp_path: Path
    ) -> None:
        (tmp_path / "Dockerfile").write_text(
            "FROM python:3.11-slim\nRUN python3 -c 'import venv' && touch /made\nCMD ls /made\n"
        )

        image, _ = docker_client.images.build(path=str(tmp_path), rm=True)

        assert docker_client.containers.run(image, remove=True).strip() == b"/made"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Sockets below it have names of at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="abm-") as folder:
        yield Path(folder)


class TestState:
    def test_a_process_is_known_by_pid_and_creation_time(self, tmp_path: Path, lab: Lab) -> None:
        place = replace(lab.place, folder=tmp_path)
        state = State(place)
        state.start("sleeper", ["/bin/sleep", "60"], env={})
        process = state.process("sleeper")
        assert process is not None
        until(lambda: process.cmdline() == ["/bin/sleep", "60"])

        assert State(place).process("sleeper") == process
        rows = json.loads((tmp_path / "state.json").read_text())
        rows["processes"]["sleeper"]["created"] -= 5
        (tmp_path / "state.json").write_text(json.dumps(rows))
        assert State(place).process("sleeper") is None
        state.end("sleeper")
        assert not process.is_running()
        assert State(place).processes == {}

    def test_a_program_does_not_start_before_it_is_written_down(
        self, tmp_path: Path, lab: Lab
    ) -> None:
        mark = tmp_path / "started"
        code = (
            "import os, signal\nfrom pathlib import Path\nfrom dataclasses import replace\n"
            "from lab.place import the_place\nfrom lab.state import State\n"
            "State._write = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"state = State(replace(the_place(), folder=Path({str(tmp_path)!r})))\n"
            f"state.start('toucher', ['/bin/touch', {str(mark)!r}], env={{}})\n"
        )

        said = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, timeout=20, check=False)

        assert said.returncode == -signal.SIGKILL
        until(lambda: not any(str(mark) in words for words in _arguments()))
        assert not mark.exists()

    def test_what_a_killed_test_leaves_is_ended_by_down(self, lab: Lab, short_folder: Path) -> None:
        place = replace(lab.place, folder=short_folder)
        code = (
            "import sys, time\nfrom pathlib import Path\nfrom dataclasses import replace\n"
            "from lab.place import the_place\nfrom lab.own import own_daemon, own_registry\n"
            f"place = replace(the_place(), folder=Path({str(short_folder)!r}))\n"
            "with own_daemon(place) as daemon, own_registry(place):\n"
            "    print(daemon.daemon.bridge, daemon.daemon.cgroup, flush=True)\n"
            "    time.sleep(60)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            bridge, cgroup = child.stdout.readline().split()
            child.send_signal(signal.SIGKILL)
        assert len(list((short_folder / "tests").iterdir())) == 2

        end_leftovers(place)

        assert traces(short_folder / "tests", bridge, cgroup) == [str(short_folder / "tests")]
        assert list((short_folder / "tests").iterdir()) == []


class TestDown:
    def test_nothing_is_left_of_a_lab_but_its_files(
        self, short_folder: Path, lab: Lab, registry_address: str
    ) -> None:
        other = Lab(Place(short_folder, free_port(), free_port(), 1))
        state = State(other.place)
        other.registry.start(state)
        other.local.start(state)
        file_server.start(other.place, state)
        with contextlib.closing(other.local.client()) as client:
            start(client, f"{registry_address}/lab/tiny")
        processes = [state.process(name) for name in state.processes]
        assert len(processes) == 4

        other.down()
        other.down()

        assert not any(process.is_running() for process in processes if process)
        left = traces(short_folder, other.local.bridge, other.local.cgroup)
        assert left == [str(short_folder)]
        assert State(other.place).links == []
        assert (other.local.data / "overlay2").is_dir()


class TestOwnRegistry:
    def test_it_is_empty_and_gone_afterwards(self, lab: Lab) -> None:
        with own_registry(lab.place) as registry:
            with Pusher(registry.address) as pusher:
                assert pusher.find("lab/tone") is None
            assert registry.answers()

        assert not registry.answers()
        assert not registry.folder.exists()

    def test_a_taken_port_is_refused_in_words(self, lab: Lab, tmp_path: Path) -> None:
        taken = Registry("second", tmp_path, lab.place.registry_port)

        with pytest.raises(LabError, match=r"Something else listens on 127\.0\.0\.1"):
            taken.start(State(replace(lab.place, folder=tmp_path)))

    def test_an_index_gives_each_platform_its_image(
        self, pusher: Pusher, own_images: Registry, docker_client: docker.DockerClient
    ) -> None:
        other = Layer.of_files({"other": b"arm"})
        mine = pusher.push("lab/both", "amd64", [tiny_layer()], run=tiny_run())
        theirs = pusher.push("lab/both", "arm64", [other], architecture="arm64")
        index = pusher.push_index("lab/both", "latest", {"amd64": mine, "arm64": theirs})

        image = docker_client.images.pull(f"{own_images.address}/lab/both:latest")

        assert image.attrs["Architecture"] == "amd64"
        assert image.attrs["RepoDigests"] == [f"{own_images.address}/lab/both@{index}"]


def _arguments() -> list[list[str]]:
    """Of all processes."""
    return [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]


def _pid(container: Container) -> int:
    container.reload()
    return int(container.attrs["State"]["Pid"])


def test_no_firewall_rule_and_no_forwarding_is_switched_on(daemon: OwnDaemon) -> None:
    config = json.loads((daemon.daemon.folder / "daemon.json").read_text())

    assert {config[key] for key in ("iptables", "ip6tables", "ip-forward", "ip-masq")} == {False}
    assert os.path.ismount(daemon.daemon.data)
