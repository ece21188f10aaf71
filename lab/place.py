"""Where the lab lies and how its parts are called: every path, port and name is decided here."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SOCKET_PATH_BYTES = 107
"""What Linux takes."""
LONGEST_SOCKET = "/tests/0123ab/exec/libnetwork/0123456789ab.sock"
"""The deepest one below a lab's folder."""
PROGRAMS = {
    "dockerd": "docker.io",
    "containerd": "docker.io",
    "runc": "docker.io",
    "docker-proxy": "docker.io",
    "docker-registry": "docker-registry",
    "ip": "iproute2",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "mmdebstrap": "mmdebstrap",
    "busybox": "busybox-static",
}
"""Each program and the Debian package that has it."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LabError(Exception):
    """The lab cannot do what it was asked; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """One lab: everything of it lies below `folder`, and what cannot is named after it."""

    folder: Path
    registry_port: int
    files_port: int
    load_seconds: float
    """How long the engine that loads slowly takes."""

    @property
    def mark(self) -> str:
        """Six characters that keep two labs on one machine apart."""
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:6]

    @property
    def registry(self) -> str:
        return f"127.0.0.1:{self.registry_port}"

    @property
    def catalog_url(self) -> str:
        return f"http://127.0.0.1:{self.files_port}/catalog.yaml"

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def environment_file(self) -> Path:
        return self.folder / "env"

    def image(self, name: str, tag: str = "latest") -> str:
        return f"{self.registry}/lab/{name}:{tag}"


def the_place() -> Place:
    """The lab of this checkout, or the one that ABM_LAB_DIR and its ports name."""
    folder = Path(os.environ.get("ABM_LAB_DIR") or PROJECT / ".cache" / "lab").resolve()
    return Place(
        folder,
        registry_port=int(_number("ABM_LAB_REGISTRY_PORT", 5077)),
        files_port=int(_number("ABM_LAB_FILES_PORT", 5078)),
        load_seconds=_number("ABM_LAB_LOAD_SECONDS", 25),
    )


def _number(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    try:
        return float(text) if text else default
    except ValueError as error:
        raise LabError(f"{name} is {text!r}, which is not a number.") from error


def program(name: str) -> str:
    """Where a program is; Debian keeps some out of a user's PATH. Raises LabError."""
    found = shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        package = PROGRAMS.get(name, name)
        raise LabError(f"{name} is not installed. On Debian: apt install {package}")
    return found


def check_machine(place: Place) -> None:
    """Raise LabError, with the way out, where a lab cannot be."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise LabError("The lab needs Linux and root: it starts a Docker daemon of its own.")
    missing = {package for name, package in PROGRAMS.items() if not _is_there(name)}
    if missing:
        raise LabError(
            f"The lab needs programs that are not here. On Debian: apt install "
            f"--no-install-recommends {' '.join(sorted(missing))}"
        )
    if len(os.fsencode(place.folder)) > SOCKET_PATH_BYTES - len(LONGEST_SOCKET):
        raise LabError(
            f"The folder {place.folder} has too long a name for sockets below it. "
            "Set ABM_LAB_DIR to a short one, such as /var/lib/abm-lab."
        )


def _is_there(name: str) -> bool:
    try:
        program(name)
    except LabError:
        return False
    return True
