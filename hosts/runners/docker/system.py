"""The system that abm runs on, as far as the ways to Docker differ by it."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ASK_SECONDS = 3
DAEMONS = ("dockerd", "dockerd-rootless.sh", "podman", "colima", "orbctl")
"""Programs that are, or start, a daemon; the `docker` command alone is none."""
FOLDERS = ("usr/local/bin", "usr/bin", "usr/sbin", "opt/homebrew/bin", "snap/bin")
"""Looked into besides PATH, which is short in services and packaged programs."""
TRACES = (
    "usr/lib/systemd/system/docker.service",
    "lib/systemd/system/docker.service",
    "etc/systemd/system/docker.service",
    "opt/docker-desktop",
    "Applications/Docker.app",
    "Applications/OrbStack.app",
    "Program Files/Docker/Docker/Docker Desktop.exe",
)


class Family(StrEnum):
    """Systems that are told apart because their commands differ."""

    DEBIAN = "debian"
    FEDORA = "fedora"
    RED_HAT = "rhel"
    SUSE = "suse"
    ARCH = "arch"
    ALPINE = "alpine"
    LINUX = "linux"
    """Any other Linux."""
    MACOS = "macos"
    WINDOWS = "windows"


@dataclass(frozen=True, slots=True)
class System:
    """What decides the words and commands shown to the user."""

    family: Family
    name: str = ""
    is_wsl: bool = False
    is_container: bool = False
    """abm itself runs in a container."""
    has_systemd: bool = False
    root: Path = Path("/")
    """Where its files are looked for."""

    @property
    def is_linux(self) -> bool:
        return self.family not in {Family.MACOS, Family.WINDOWS}

    @property
    def uses_desktop(self) -> bool:
        """Docker comes as Docker Desktop here."""
        return not self.is_linux


def read_system(root: Path | None = None, *, platform_name: str = sys.platform) -> System:
    """The system below `root`; the one that abm runs on by default."""
    if platform_name == "win32":
        return System(Family.WINDOWS, "Windows", root=root or Path("C:/"))
    root = root or Path("/")
    if platform_name == "darwin":
        return System(Family.MACOS, f"macOS {platform.mac_ver()[0]}".strip(), root=root)
    release = _release(root)
    kernel = text_of(root / "proc/sys/kernel/osrelease") or text_of(root / "proc/version")
    return System(
        _family(release),
        release.get("PRETTY_NAME") or release.get("NAME", "Linux"),
        is_wsl="microsoft" in kernel.lower(),
        is_container=any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")),
        has_systemd=(root / "run/systemd/system").is_dir(),
        root=root,
    )


def has_daemon_installed(system: System) -> bool:
    """Whether a daemon is installed, running or not."""
    return _has_program(system, DAEMONS) or any((system.root / trace).exists() for trace in TRACES)


def has_client(system: System) -> bool:
    """Whether the `docker` command is there; it is no daemon."""
    return _has_program(system, ("docker",))


def is_service_starting(system: System) -> bool:
    """Whether systemd is bringing Docker up right now. Takes up to `ASK_SECONDS`."""
    if not system.has_systemd:
        return False
    try:
        said = subprocess.run(
            ["systemctl", "show", "docker.service", "--property=ActiveState", "--value"],
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return said.stdout.strip() == "activating"


def _has_program(system: System, names: tuple[str, ...]) -> bool:
    folders = [str(system.root / folder) for folder in FOLDERS]
    if system.root in {Path("/"), Path("C:/")} and any(map(shutil.which, names)):
        return True
    return any((Path(folder) / name).exists() for folder in folders for name in names)


def _family(release: dict[str, str]) -> Family:
    """The nearest family by ID and ID_LIKE of os-release(5)."""
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    known = {
        "debian": Family.DEBIAN,
        "ubuntu": Family.DEBIAN,
        "rhel": Family.RED_HAT,
        "centos": Family.RED_HAT,
        "fedora": Family.FEDORA,
        "suse": Family.SUSE,
        "opensuse": Family.SUSE,
        "sles": Family.SUSE,
        "arch": Family.ARCH,
        "alpine": Family.ALPINE,
    }
    return next((known[name] for name in names if name in known), Family.LINUX)


def _release(root: Path) -> dict[str, str]:
    text = text_of(root / "etc/os-release") or text_of(root / "usr/lib/os-release")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def text_of(file: Path) -> str:
    """A file of the system, empty where it cannot be read."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
