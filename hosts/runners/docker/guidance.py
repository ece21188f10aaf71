"""The way out of each state Docker may be in, in words and commands for the system at hand."""

from __future__ import annotations

from dataclasses import dataclass

from hosts.runners.docker.connection import DockerAddress, Source
from hosts.runners.docker.system import Family, System

SKIP = "abm works without Docker: engines can run as processes on this machine instead."
DESKTOP_LICENCE = (
    "Docker Desktop is free for personal use, education, non-commercial open source, and "
    "businesses with fewer than 250 people and less than 10 million dollars of revenue a year. "
    "Others need a paid subscription, or Colima, Podman or Rancher Desktop instead."
)
DOCKER_GROUP = (
    "Whoever may use Docker's socket can become root on this machine. Give abm a user of its own."
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a sentence, and a command to copy where there is one."""

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Guidance:
    """What to do, where to read on, and what to know before."""

    steps: tuple[Step, ...] = ()
    links: tuple[Link, ...] = ()
    note: str = ""


DOCS = "https://docs.docker.com"
LEARN = Link("Learn more", f"{DOCS}/get-started/docker-overview/")
LICENCE = Link("Docker Desktop's licence", f"{DOCS}/subscription/desktop-license/")
ENGINE = Link("Download", f"{DOCS}/engine/install/")
MAC = Link("Download", f"{DOCS}/desktop/setup/install/mac-install/")
WINDOWS = Link("Download", f"{DOCS}/desktop/setup/install/windows-install/")
TROUBLE = Link("Learn more", f"{DOCS}/engine/daemon/troubleshoot/")
DESKTOP_TROUBLE = Link("Learn more", f"{DOCS}/desktop/troubleshoot-and-support/troubleshoot/")
RIGHTS = Link("Learn more", f"{DOCS}/engine/install/linux-postinstall/")
PROTECT = Link("Learn more", f"{DOCS}/engine/security/protect-access/")
TOOLKIT = Link(
    "Download",
    "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html",
)
GPU = Link("Learn more", f"{DOCS}/engine/containers/resource_constraints/#gpu")
WSL_GPU = Link("Learn more", f"{DOCS}/desktop/features/gpu/")
PACKAGES = {
    Family.DEBIAN: "sudo apt update && sudo apt install -y docker.io",
    Family.FEDORA: "sudo dnf install -y moby-engine",
    Family.RED_HAT: "curl -fsSL https://get.docker.com | sudo sh",
    Family.SUSE: "sudo zypper install -y docker",
    Family.ARCH: "sudo pacman -S docker",
    Family.ALPINE: "sudo apk add docker",
    Family.LINUX: "curl -fsSL https://get.docker.com | sudo sh",
}
_REPOSITORY = "https://nvidia.github.io/libnvidia-container"
_RPM = (
    f"curl -fsSL {_REPOSITORY}/stable/rpm/nvidia-container-toolkit.repo | "
    "sudo tee /etc/yum.repos.d/nvidia-container-toolkit.repo\n"
    "sudo dnf install -y nvidia-container-toolkit"
)
OTHERS = {"Colima": "colima start", "OrbStack": "orb start", "Rancher Desktop": "rdctl start"}
"""Daemons that come with a program of their own, and how that is started."""
TOOLKITS = {
    Family.DEBIAN: (
        f"curl -fsSL {_REPOSITORY}/gpgkey | sudo gpg --dearmor "
        "-o /usr/share/keyrings/nvidia-container-toolkit-keyring.gpg\n"
        f"curl -fsSL {_REPOSITORY}/stable/deb/nvidia-container-toolkit.list | "
        "sed 's#deb https://#deb [signed-by=/usr/share/keyrings/"
        "nvidia-container-toolkit-keyring.gpg] https://#g' | "
        "sudo tee /etc/apt/sources.list.d/nvidia-container-toolkit.list\n"
        "sudo apt update && sudo apt install -y nvidia-container-toolkit"
    ),
    Family.FEDORA: _RPM,
    Family.RED_HAT: _RPM,
    Family.SUSE: (
        f"sudo zypper ar {_REPOSITORY}/stable/rpm/nvidia-container-toolkit.repo\n"
        "sudo zypper --gpg-auto-import-keys install -y nvidia-container-toolkit"
    ),
    Family.ARCH: "sudo pacman -S nvidia-container-toolkit",
}


def to_install(system: System) -> Guidance:
    """Docker is not installed."""
    if system.is_container:
        return Guidance(
            (
                Step(
                    "Install Docker on the machine, if it is not there, and start abm's container "
                    "again with the machine's socket.",
                    "-v /var/run/docker.sock:/var/run/docker.sock",
                ),
            ),
            (ENGINE, LEARN),
        )
    if system.family is Family.MACOS:
        steps = (
            Step("Install Docker Desktop and start it.", "brew install --cask docker-desktop"),
            Step("Or install Colima, which is free for all.", "brew install colima docker"),
        )
        return Guidance(steps, (MAC, LEARN, LICENCE), DESKTOP_LICENCE)
    if system.family is Family.WINDOWS:
        step = Step(
            "Install Docker Desktop and start it.", "winget install -e --id Docker.DockerDesktop"
        )
        return Guidance((step,), (WINDOWS, LEARN, LICENCE), DESKTOP_LICENCE)
    engine = Step("Install Docker Engine.", PACKAGES[system.family])
    if system.is_wsl:
        desktop = Step(
            "With Docker Desktop on Windows: open Settings, Resources, WSL integration, switch "
            f"{system.name or 'this distribution'} on, and apply."
        )
        alone = Step(f"Without it: {engine.text[0].lower()}{engine.text[1:]}", engine.command)
        return Guidance(
            (desktop, alone, _start(system)), (WINDOWS, LEARN, LICENCE), DESKTOP_LICENCE
        )
    return Guidance((engine, _start(system)), (ENGINE, LEARN))


def to_start(system: System, address: DockerAddress | None, *, restart: bool = False) -> Guidance:
    """Docker is installed, or named, but no daemon answers."""
    if address and address.source is Source.VARIABLE:
        return Guidance(
            (
                Step(f"Start the daemon that DOCKER_HOST names, {address.url}, or correct it."),
                Step("Or take DOCKER_HOST away: abm then looks in the usual places."),
            ),
            (PROTECT if address.path is None else TROUBLE,),
        )
    if system.is_container:
        step = Step(
            "Start Docker on the machine and check that its socket is mounted into abm's "
            "container. A restarted Docker makes a new socket: start abm's container again.",
            "-v /var/run/docker.sock:/var/run/docker.sock",
        )
        return Guidance((step,), (TROUBLE,))
    if address and address.label in OTHERS:
        return Guidance((_start(system, label=address.label),), (LEARN,))
    if system.family is Family.MACOS:
        return Guidance(
            (Step("Start Docker Desktop and wait until it says running.", "open -a Docker"),),
            (DESKTOP_TROUBLE,),
        )
    if system.family is Family.WINDOWS:
        return Guidance(
            (Step("Start Docker Desktop from the Start menu and wait until it says running."),),
            (DESKTOP_TROUBLE,),
        )
    steps = [_start(system, restart=restart, label=address.label if address else "")]
    if system.has_systemd and not system.is_wsl:
        steps.append(Step("If it stops again, its log says why.", "journalctl -u docker -n 50"))
    if system.is_wsl:
        steps.append(Step("With Docker Desktop: start it on Windows instead."))
    return Guidance(tuple(steps), (TROUBLE,))


def to_permit(
    system: System, *, user: str, group: str, group_number: int | None, is_member: bool
) -> Guidance:
    """The socket is there but may not be used. `group` owns it; empty if nobody but root may."""
    if system.is_container and group_number is not None:
        step = Step(
            "Start abm's container again with the group that owns the socket.",
            f"--group-add {group_number}",
        )
        return Guidance((step,), (RIGHTS,), DOCKER_GROUP)
    if not system.is_linux:
        return Guidance(
            (Step("Open Docker Desktop as the user that runs abm, and let it finish starting."),),
            (DESKTOP_TROUBLE,),
        )
    again = Step(
        f"Log {user} in again, or restart abm if it runs as a service: a program keeps the "
        "groups that it was started with."
    )
    if is_member:
        return Guidance((again,), (RIGHTS,), DOCKER_GROUP)
    if not group:
        make = Step(
            "Make the group docker and restart Docker, so that the socket belongs to it.",
            f"sudo groupadd -f docker\nsudo usermod -aG docker {user}\n"
            f"{_start(system, restart=True).command}",
        )
        return Guidance((make, again), (RIGHTS,), DOCKER_GROUP)
    join = Step(
        f"Add {user}, who runs abm, to the group {group}.", f"sudo usermod -aG {group} {user}"
    )
    return Guidance((join, again), (RIGHTS,), DOCKER_GROUP)


def to_update(system: System) -> Guidance:
    """The daemon's API is too old."""
    if system.uses_desktop:
        step = Step("Open Docker Desktop, choose Check for updates, and install the update.")
        return Guidance((step,), (MAC if system.family is Family.MACOS else WINDOWS,))
    step = Step("Update Docker. Running containers stop meanwhile.", PACKAGES[system.family])
    return Guidance((step,), (ENGINE,))


def to_wait() -> Guidance:
    """The daemon is on its way."""
    return Guidance((Step("Wait. abm looks again by itself."),))


def to_enable() -> Guidance:
    """Somebody switched the host off in abm."""
    return Guidance((Step("Press Enable to use Docker on this machine."),))


def to_give_gpu(system: System, *, has_driver: bool, is_rootless: bool) -> Guidance:
    """There is a card, but containers cannot have it."""
    if system.family is Family.WINDOWS or (system.is_wsl and not has_driver):
        step = Step("Update the NVIDIA driver on Windows and use Docker Desktop with WSL 2.")
        return Guidance((step,), (WSL_GPU,))
    driver = Step(
        "Install the NVIDIA driver of your distribution first, restart the machine, and check "
        "that this shows the card.",
        "nvidia-smi",
    )
    toolkit = Step("Install the NVIDIA Container Toolkit.", TOOLKITS.get(system.family, ""))
    if is_rootless:
        tell = (
            "nvidia-ctk runtime configure --runtime=docker --config=$HOME/.config/docker/"
            "daemon.json\nsystemctl --user restart docker\n"
            "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place"
        )
    else:
        restart = _start(system, restart=True).command
        tell = f"sudo nvidia-ctk runtime configure --runtime=docker\n{restart}"
    configure = Step("Tell Docker of it. Running containers stop at the restart.", tell)
    steps = (toolkit, configure) if has_driver else (driver, toolkit, configure)
    return Guidance(steps, (TOOLKIT, GPU))


def to_relieve(system: System, *, of_disk: bool, of_memory: bool) -> Guidance:
    """The host is short of disk or memory. Never a prune: that would take what is not abm's."""
    steps = []
    if of_disk:
        steps.append(Step("See what Docker holds; abm frees what is its own.", "docker system df"))
    if of_memory:
        steps.append(Step("Stop engines or other programs that you do not need now."))
    if system.uses_desktop:
        steps.append(
            Step("Give Docker Desktop more memory and disk: Settings, Resources, Advanced.")
        )
    return Guidance(tuple(steps), (Link("Learn more", f"{DOCS}/engine/manage-resources/pruning/"),))


def to_look(system: System) -> Guidance:
    """Something answered that abm does not understand."""
    if system.uses_desktop:
        return Guidance((Step("Restart Docker Desktop and try again."),), (DESKTOP_TROUBLE,))
    return Guidance((Step("See if Docker itself works.", "docker version"),), (TROUBLE,))


def _start(system: System, *, restart: bool = False, label: str = "") -> Step:
    words = "Restart Docker." if restart else "Start Docker, now and at every start of the machine."
    if label == "rootless Docker":
        verb = "restart" if restart else "enable --now"
        return Step(words, f"systemctl --user {verb} docker")
    if label == "Podman":
        return Step("Start Podman's socket.", "systemctl --user enable --now podman.socket")
    if label in OTHERS:
        return Step(f"Start {label}.", OTHERS[label])
    if system.family is Family.ALPINE:
        verb = "rc-service docker restart" if restart else "rc-service docker start"
        return Step(words, f"sudo {verb}" + ("" if restart else " && sudo rc-update add docker"))
    if system.has_systemd:
        return Step(words, f"sudo systemctl {'restart' if restart else 'enable --now'} docker")
    return Step(
        "Restart Docker." if restart else "Start Docker.",
        f"sudo service docker {'restart' if restart else 'start'}",
    )
