"""Ten states of Docker, each brought about by a socket, a daemon's answers or files."""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NameResolutionError

from hosts.runners.docker.connection import DockerAddress
from hosts.runners.docker.detection import DockerState, Finding, Limits, Surroundings, detect
from hosts.runners.docker.failures import failed
from hosts.runners.docker.system import Family, System
from tests.hosts.nobody import as_nobody
from tests.hosts.spoken_daemon import Answers, folder_for_sockets, speaking, speaking_tls

PLENTY = Limits(disk_free=0, memory_total=0, memory_free=0)


@dataclass
class Place:
    """A machine of the test's own: a folder for its files, one socket, one DOCKER_HOST."""

    folder: Path
    system: System
    environ: dict[str, str]

    @property
    def socket(self) -> Path:
        return self.folder / "d.sock"

    @property
    def usual_socket(self) -> Path:
        """Where rootless Docker has it: found without DOCKER_HOST."""
        return self.folder / "docker.sock"

    def detect(self, limits: Limits = PLENTY, seconds: float = 0.2, **changes: Any) -> Finding:
        by = Surroundings(
            system=replace(self.system, **changes),
            environ=self.environ,
            home=self.folder,
            limits=limits,
            seconds=seconds,
        )
        return detect(by)

    def write(self, path: str, text: str = "") -> None:
        (self.system.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.system.root / path).write_text(text)


@pytest.fixture
def place() -> Iterator[Place]:
    with folder_for_sockets() as folder:
        root = folder / "root"
        root.mkdir()
        yield Place(
            folder,
            System(Family.DEBIAN, "Debian GNU/Linux 12", root=root),
            {"DOCKER_HOST": f"unix://{folder}/d.sock"},
        )


@pytest.fixture
def usual(place: Place) -> Place:
    """The same without DOCKER_HOST."""
    place.environ = {"XDG_RUNTIME_DIR": str(place.folder)}
    return place


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def commands(finding: Finding) -> str:
    return "\n".join(step.command for step in finding.way_out)


def test_a_daemon_that_answers_is_available(place: Place) -> None:
    with speaking(place.socket):
        found = place.detect()

    assert found.state is DockerState.AVAILABLE
    assert found.sentence == "Docker 20.10.24+dfsg1 runs and can be used (linux/amd64)."
    assert (found.way_out, found.skip, found.problems) == ((), "", ())


def test_switched_off_asks_nobody(place: Place) -> None:
    with speaking(place.socket) as answers:
        found = detect(Surroundings(environ=place.environ), is_enabled=False)

    assert found.state is DockerState.DISABLED
    assert "Enable" in found.way_out[0].text
    assert answers.asked == []


def test_without_daemon_and_command_docker_is_not_installed(usual: Place) -> None:
    found = usual.detect(has_systemd=True)

    assert found.state is DockerState.NOT_INSTALLED
    assert "sudo apt install -y docker.io" in commands(found)
    assert "sudo systemctl enable --now docker" in commands(found)
    assert [link.label for link in found.links] == ["Download", "Learn more"]
    assert found.skip.startswith("abm works without Docker")


def test_the_docker_command_alone_is_told_from_a_daemon(usual: Place) -> None:
    usual.write("usr/bin/docker")

    found = usual.detect()

    assert found.state is DockerState.NOT_INSTALLED
    assert "Only the docker command is installed" in found.sentence


def test_a_container_without_socket_is_told_how_to_get_one(usual: Place) -> None:
    found = usual.detect(is_container=True)

    assert found.state is DockerState.NOT_INSTALLED
    assert "-v /var/run/docker.sock:/var/run/docker.sock" in commands(found)


def test_an_installed_daemon_without_socket_is_not_running(usual: Place) -> None:
    usual.write("usr/bin/dockerd")

    found = usual.detect(has_systemd=True)

    assert found.state is DockerState.UNREACHABLE
    assert found.sentence == "Docker is installed, but it is not running."
    assert "sudo systemctl enable --now docker" in commands(found)


def test_a_socket_that_nobody_listens_to_is_not_running(usual: Place) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(usual.usual_socket))
    age(usual.usual_socket, 3600)

    found = usual.detect(has_systemd=True)

    assert found.state is DockerState.UNREACHABLE
    assert "rootless Docker is not running" in found.sentence
    assert "systemctl --user enable --now docker" in commands(found)
    assert "refused" in found.detail


def test_a_docker_host_that_leads_nowhere_is_named(place: Place) -> None:
    found = place.detect()

    assert found.state is DockerState.UNREACHABLE
    assert f"unix://{place.socket}" in found.sentence
    assert "DOCKER_HOST" in found.sentence


def test_a_closed_port_of_docker_host_is_unreachable(place: Place) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place.environ = {"DOCKER_HOST": f"tcp://127.0.0.1:{free.getsockname()[1]}"}
        found = place.detect()

    assert found.state is DockerState.UNREACHABLE
    assert "nobody answers at tcp://127.0.0.1" in found.sentence


def test_a_name_that_nobody_knows_is_unreachable(place: Place) -> None:
    """Raised by hand: a real look-up would ask the network."""
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    wrapped = NameResolutionError("gpu-box", HTTPConnection("gpu-box"), unknown)
    wrapped.__cause__ = unknown
    by = Surroundings(system=place.system)

    found = failed(requests.ConnectionError(wrapped), DockerAddress("tcp://gpu-box:2375"), by)

    assert found.state is DockerState.UNREACHABLE
    assert "name is not known in the network" in found.sentence


def test_an_old_socket_that_stays_silent_hangs(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place.socket))
        silent.listen()
        age(place.socket, 3600)
        before = time.monotonic()
        found = place.detect()

    assert found.state is DockerState.UNREACHABLE
    assert "does not answer" in found.sentence
    assert time.monotonic() - before < 2


def test_a_new_socket_that_stays_silent_is_starting(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place.socket))
        silent.listen()
        found = place.detect()

    assert found.state is DockerState.STARTING
    assert "Wait" in found.way_out[0].text


def test_an_old_socket_that_systemd_is_bringing_up_is_starting(
    usual: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of the name systemctl stands for systemd, which not every machine has."""
    said = usual.folder / "systemctl"
    said.write_text("#!/bin/sh\necho activating\n")
    said.chmod(0o755)
    monkeypatch.setenv("PATH", str(usual.folder), prepend=":")
    usual.write("var/run/x")
    path = usual.system.root / "var/run/docker.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        age(path, 3600)
        found = usual.detect(has_systemd=True)
        without = usual.detect(has_systemd=False)

    assert (found.state, without.state) == (DockerState.STARTING, DockerState.UNREACHABLE)


def test_a_new_socket_whose_machine_is_not_up_is_starting(place: Place) -> None:
    """Docker Desktop answers 500 until its virtual machine runs."""
    with speaking(place.socket, Answers(status=500, body=b"")):
        age(place.socket, 2)
        found = place.detect()

    assert found.state is DockerState.STARTING


def test_a_daemon_that_only_fails_is_an_error(place: Place) -> None:
    with speaking(place.socket, Answers(status=500, body=b"Docker Desktop is paused")):
        found = place.detect()

    assert found.state is DockerState.ERROR
    assert "answers with an error of its own" in found.sentence
    assert "paused" in found.detail


def test_something_that_is_not_docker_is_an_error(place: Place) -> None:
    with speaking(place.socket, Answers(body=b"<html>It works!</html>")):
        found = place.detect()

    assert found.state is DockerState.ERROR
    assert "is not Docker" in found.sentence


@pytest.mark.parametrize("body", [b"[]", b"{}", b'"x"', b'{"ApiVersion": "1.41"}', b"null"])
def test_answers_in_another_shape_are_an_error(place: Place, body: bytes) -> None:
    with speaking(place.socket, Answers(body=body)):
        found = place.detect()

    assert found.state is DockerState.ERROR
    assert "is not Docker" in found.sentence


def test_a_docker_host_that_names_nothing_is_an_error(place: Place) -> None:
    place.environ = {"DOCKER_HOST": "ssh://ann@gpu-box"}

    found = place.detect()

    assert found.state is DockerState.ERROR
    assert "Add it to abm as a host of its own" in found.sentence


def test_a_port_that_wants_tls_says_which_variables(place: Place) -> None:
    said = b"Client sent an HTTP request to an HTTPS server."
    with speaking_tls(None, Answers(status=400, body=said)) as port:
        place.environ = {"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
        found = place.detect()

    assert found.state is DockerState.ERROR
    assert "DOCKER_TLS_VERIFY=1" in found.sentence


def test_an_old_api_is_told_with_both_versions(place: Place) -> None:
    answers = Answers()
    answers.version |= {"ApiVersion": "1.30", "Version": "17.06.0"}

    with speaking(place.socket, answers):
        found = place.detect()

    assert found.state is DockerState.API_TOO_OLD
    assert "speaks API 1.30; abm needs 1.40" in found.sentence
    assert "sudo apt install -y docker.io" in commands(found)


def test_a_socket_that_abm_may_not_use_says_who_may(place: Place) -> None:
    with speaking(place.socket):
        place.socket.chmod(0)
        found = as_nobody(place.detect)

    assert found.state is DockerState.PERMISSION_DENIED
    assert f"may not use Docker's socket {place.socket}" in found.sentence
    assert "sudo groupadd -f docker" in commands(found)
    assert "become root" in found.note


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to another group")
def test_the_group_of_the_socket_is_named(place: Place) -> None:
    with speaking(place.socket):
        place.socket.chmod(0o660)
        os.chown(place.socket, 0, 4)
        found = as_nobody(place.detect)
        contained = as_nobody(lambda: place.detect(is_container=True))

    assert "It belongs to the group adm." in found.sentence
    assert commands(found).strip() == "sudo usermod -aG adm nobody"
    assert "--group-add 4" in commands(contained)


def test_a_socket_that_works_is_taken_before_one_that_is_left_over(usual: Place) -> None:
    desktop = usual.folder / ".docker" / "desktop"
    desktop.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(usual.usual_socket))
    with speaking(desktop / "docker.sock"):
        found = usual.detect()

    assert found.state is DockerState.AVAILABLE
    assert found.address is not None
    assert found.address.path == desktop / "docker.sock"


def test_of_two_failures_the_one_nearer_to_success_is_told(usual: Place) -> None:
    desktop = usual.folder / ".docker" / "desktop"
    desktop.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(usual.usual_socket))
    age(usual.usual_socket, 3600)
    answers = Answers()
    answers.version["ApiVersion"] = "1.30"
    with speaking(desktop / "docker.sock", answers):
        found = usual.detect()

    assert found.state is DockerState.API_TOO_OLD


def test_a_card_without_runtime_gets_the_toolkits_commands(place: Place) -> None:
    model = "Model: \t\t NVIDIA GeForce RTX 3090\nIRQ:   \t\t 16\n"
    place.write("proc/driver/nvidia/gpus/0000:01:00.0/information", model)

    with speaking(place.socket):
        found = place.detect(has_systemd=True)

    assert found.state is DockerState.NO_GPU_RUNTIME
    assert "NVIDIA GeForce RTX 3090" in found.sentence
    assert "sudo nvidia-ctk runtime configure --runtime=docker" in commands(found)
    assert "nvidia-smi" not in commands(found)
    assert found.state.is_usable


def test_a_card_without_driver_gets_the_driver_first(place: Place) -> None:
    place.write("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
    place.write("sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")
    place.write("sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n")
    place.write("sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n")

    with speaking(place.socket):
        found = place.detect()

    assert found.state is DockerState.NO_GPU_RUNTIME
    assert found.way_out[0].command == "nvidia-smi"
    assert found.facts is not None
    assert found.facts.cards is not None
    assert len(found.facts.cards) == 1, "the card's sound is no card"


@pytest.mark.parametrize("way", ["runtime", "listed", "spec"])
def test_a_card_with_runtime_or_cdi_is_available(place: Place, way: str) -> None:
    place.write("dev/nvidia0")
    answers = Answers()
    answers.version["ApiVersion"] = "1.45"
    if way == "runtime":
        answers.info["Runtimes"] = {"runc": {}, "nvidia": {}}
    elif way == "listed":
        answers.info["DiscoveredDevices"] = [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]
    else:
        answers.info["CDISpecDirs"] = ["/etc/cdi", "/var/run/cdi"]
        place.write("var/run/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n")

    with speaking(place.socket, answers):
        found = place.detect()

    assert found.state is DockerState.AVAILABLE
    assert found.facts is not None
    assert found.facts.has_gpu_runtime


def test_a_card_here_says_nothing_of_a_daemon_elsewhere(place: Place) -> None:
    place.write("dev/nvidia0")
    answers = Answers()
    answers.info |= {"Name": "docker-desktop", "OperatingSystem": "Docker Desktop"}

    with speaking(place.socket, answers):
        found = place.detect(limits=Limits(disk_free=2**62))

    assert found.state is DockerState.AVAILABLE
    assert found.sentence.startswith("Docker Desktop 20.10.24")
    assert found.facts is not None
    assert (found.facts.cards, found.facts.disk_free, found.facts.memory_used) == (None,) * 3
    assert found.facts.emulated == ("linux/amd64", "linux/arm64")


@pytest.mark.parametrize(
    ("name", "is_container", "has_ours"),
    [(platform.node(), False, True), ("gpu-box", False, False), (platform.node(), True, False)],
)
def test_by_tcp_only_this_machine_itself_has_abms_folders(
    place: Place, name: str, is_container: bool, has_ours: bool
) -> None:
    answers = Answers()
    answers.info |= {"Name": name}

    with speaking_tls(None, answers) as port:
        place.environ = {"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
        facts = place.detect(is_container=is_container).facts

    assert facts is not None
    assert facts.has_our_folders is has_ours
    assert not facts.is_on_this_machine


def test_a_daemon_by_a_socket_is_given_folders(place: Place) -> None:
    answers = Answers()
    answers.info |= {"Name": "docker-desktop", "OperatingSystem": "Docker Desktop"}

    with speaking(place.socket, answers):
        facts = place.detect().facts

    assert facts is not None
    assert facts.has_our_folders


def test_a_full_disk_degrades_with_its_numbers(place: Place) -> None:
    with speaking(place.socket):
        found = place.detect(limits=replace(PLENTY, disk_free=2**62))

    assert found.state is DockerState.DEGRADED
    assert found.state.is_usable
    assert found.problems[0] in found.sentence
    assert found.problems[0].endswith("are free on the disk of /.")
    assert "docker system df" in commands(found)
    assert "prune" not in commands(found)


def test_full_memory_degrades_with_its_numbers(place: Place) -> None:
    with speaking(place.socket):
        found = place.detect(limits=replace(PLENTY, memory_free=1.0))

    assert found.state is DockerState.DEGRADED
    assert found.problems[0].endswith("of 25.3 GB memory are free.")


def test_little_memory_in_all_degrades_docker_desktop(place: Place) -> None:
    answers = Answers()
    answers.info |= {
        "MemTotal": 1_500_000_000,
        "OperatingSystem": "Docker Desktop",
        "KernelVersion": "6.10.14-linuxkit",
    }

    with speaking(place.socket, answers):
        found = place.detect(limits=Limits(), family=Family.MACOS)

    assert found.state is DockerState.DEGRADED
    assert found.problems == ("It has 1.5 GB of memory, and most engines need more.",)
    assert "Give Docker Desktop more memory" in found.way_out[-1].text


def test_being_degraded_does_not_hide_a_missing_runtime(place: Place) -> None:
    place.write("dev/nvidia0")

    with speaking(place.socket):
        found = place.detect(limits=replace(PLENTY, disk_free=2**62))

    assert found.state is DockerState.DEGRADED
    assert found.problems[-1] == "Containers cannot use the GPU (NVIDIA GPU)."


def test_facts_can_be_stored_as_they_are(place: Place) -> None:
    place.write("proc/sys/fs/binfmt_misc/qemu-aarch64", "enabled\ninterpreter /q\nflags: OCF\n")
    place.write("proc/sys/fs/binfmt_misc/qemu-riscv64", "disabled\nflags: F\n")

    with speaking(place.socket):
        facts = place.detect().facts

    assert facts is not None
    assert json.loads(json.dumps(asdict(facts)))["emulated"] == ["linux/arm64"]
    assert facts.versions["Docker"] == "20.10.24+dfsg1"
    assert (facts.machine, facts.cpu_count, facts.storage_driver) == ("amd64", 2, "overlay2")
    assert (facts.is_rootless, facts.has_containerd_store, facts.cgroup_version) == (
        False,
        False,
        "1",
    )


def test_rootless_and_containerds_store_are_seen(place: Place) -> None:
    answers = Answers()
    answers.info |= {
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "Driver": "overlayfs",
        "CgroupVersion": "2",
    }

    with speaking(place.socket, answers):
        facts = place.detect().facts

    assert facts is not None
    assert facts.is_rootless
    assert facts.has_containerd_store


def test_podman_is_called_by_its_name(place: Place) -> None:
    answers = Answers()
    answers.version |= {"Version": "5.2.2", "Components": [{"Name": "Podman Engine"}]}

    with speaking(place.socket, answers):
        found = place.detect()

    assert found.sentence.startswith("Podman 5.2.2 runs")
