"""Each system gets its own commands, and no state is left without a way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hosts.runners.docker import guidance
from hosts.runners.docker.connection import DockerAddress
from hosts.runners.docker.guidance import Guidance
from hosts.runners.docker.system import Family, System, read_system

WAYS: dict[str, Callable[[System], Guidance]] = {
    "install": guidance.to_install,
    "start": lambda system: guidance.to_start(system, None),
    "permit": lambda system: guidance.to_permit(
        system, user="ann", group="docker", group_number=999, is_member=False
    ),
    "update": guidance.to_update,
    "gpu": lambda system: guidance.to_give_gpu(system, has_driver=True, is_rootless=False),
    "relieve": lambda system: guidance.to_relieve(system, of_disk=True, of_memory=True),
    "look": guidance.to_look,
}


def commands(way: Guidance) -> str:
    return "\n".join(step.command for step in way.steps)


@pytest.mark.parametrize(
    ("release", "family"),
    [
        ('ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"', Family.DEBIAN),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'", Family.DEBIAN),
        ("ID=fedora", Family.FEDORA),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', Family.RED_HAT),
        ('ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"', Family.SUSE),
        ("ID=endeavouros\nID_LIKE=arch", Family.ARCH),
        ("ID=alpine", Family.ALPINE),
        ("ID=nixos", Family.LINUX),
        ("", Family.LINUX),
    ],
)
def test_a_distribution_is_known_by_its_nearest_kin(
    tmp_path: Path, release: str, family: Family
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(release + "\n")

    assert read_system(tmp_path, platform_name="linux").family is family


def test_wsl_containers_and_systemd_are_seen(tmp_path: Path) -> None:
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text("5.15.167-microsoft-standard-WSL2\n")
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / ".dockerenv").touch()

    seen = read_system(tmp_path, platform_name="linux")
    bare = read_system(tmp_path / "none", platform_name="linux")

    assert (seen.is_wsl, seen.has_systemd, seen.is_container) == (True, True, True)
    assert (bare.is_wsl, bare.has_systemd, bare.is_container) == (False, False, False)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("way", WAYS)
def test_every_state_has_a_way_out_on_every_system(family: Family, way: str) -> None:
    told = WAYS[way](System(family, has_systemd=True))

    assert told.steps
    assert all(step.text.endswith((".", ":")) for step in told.steps)
    assert all(link.url.startswith("https://") for link in told.links)
    assert any("Learn more" in link.label or link.label == "Download" for link in told.links)
    if family in {Family.MACOS, Family.WINDOWS}:
        assert "systemctl" not in commands(told) or way == "gpu"


@pytest.mark.parametrize("family", [Family.MACOS, Family.WINDOWS])
def test_docker_desktop_comes_with_its_licence_and_alternatives(family: Family) -> None:
    told = guidance.to_install(System(family))

    assert "fewer than 250 people" in told.note
    assert "Podman" in told.note
    assert [link.label for link in told.links] == [
        "Download",
        "Learn more",
        "Docker Desktop's licence",
    ]


def test_docker_engine_on_linux_carries_no_licence_of_desktop() -> None:
    assert guidance.to_install(System(Family.DEBIAN)).note == ""


def test_wsl_may_take_desktop_or_an_engine_of_its_own() -> None:
    told = guidance.to_install(System(Family.DEBIAN, "Ubuntu 24.04", is_wsl=True))

    assert "switch Ubuntu 24.04 on" in told.steps[0].text
    assert "docker.io" in told.steps[1].command


@pytest.mark.parametrize(
    ("system", "command"),
    [
        (System(Family.DEBIAN, has_systemd=True), "sudo systemctl enable --now docker"),
        (System(Family.DEBIAN), "sudo service docker start"),
        (System(Family.ALPINE), "sudo rc-service docker start && sudo rc-update add docker"),
        (System(Family.MACOS), "open -a Docker"),
    ],
)
def test_a_stopped_daemon_is_started_in_the_manner_of_the_system(
    system: System, command: str
) -> None:
    assert command in commands(guidance.to_start(system, None))


@pytest.mark.parametrize(
    ("label", "command"),
    [
        ("Colima", "colima start"),
        ("rootless Docker", "systemctl --user enable --now docker"),
        ("Podman", "systemctl --user enable --now podman.socket"),
    ],
)
def test_what_is_not_docker_engine_is_started_by_its_own_program(label: str, command: str) -> None:
    address = DockerAddress("unix:///x.sock", label=label)

    told = guidance.to_start(System(Family.DEBIAN, has_systemd=True), address)

    assert told.steps[0].command == command


def test_who_was_added_to_the_group_only_logs_in_again() -> None:
    told = guidance.to_permit(
        System(Family.DEBIAN), user="ann", group="docker", group_number=999, is_member=True
    )

    assert commands(told) == ""
    assert told.steps[0].text.startswith("Log ann in again")


def test_rootless_docker_gets_the_runtime_in_its_own_configuration() -> None:
    told = guidance.to_give_gpu(System(Family.DEBIAN), has_driver=True, is_rootless=True)

    assert "--config=$HOME/.config/docker/daemon.json" in commands(told)
    assert "sudo systemctl" not in commands(told)
