"""Whether this kernel lets a Docker daemon run here: some sandboxes do not, whoever asks."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from lab.place import LabError, Place, check_machine, program

GROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
SECONDS = 10


def check_kernel(place: Place) -> None:
    """Try what a daemon does first. Raises LabError that names what is refused."""
    check_machine(place)
    place.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.folder, prefix="try-") as name:
        folder = Path(name)
        for part in ("lower", "upper", "work", "merged"):
            (folder / part).mkdir()
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        # In a mount namespace of its own, which ends with the command.
        mount = f"mount -t overlay overlay -o {options} {folder}/merged"
        _try("an overlay file system", ["unshare", "--mount", "sh", "-c", mount])
    bridge = f"abmt{place.mark[:8]}"
    make = [program("ip"), "link", "add", bridge, "type", "bridge"]
    _try("a network bridge", make)
    _try("a network bridge", [program("ip"), "link", "delete", bridge])
    _try_group(f"abm-lab-try-{place.mark}")


def _try_group(name: str) -> None:
    root = next((one for one in GROUPS if one.is_dir()), GROUPS[-1])
    try:
        (root / name).mkdir()
        (root / name).rmdir()
    except OSError as error:
        raise _refused("a control group", str(error)) from error


def _try(what: str, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _refused(what, str(error)) from error
    if done.returncode:
        raise _refused(what, done.stderr.strip())


def _refused(what: str, why: str) -> LabError:
    return LabError(f"No Docker daemon can run here: the kernel refuses {what} ({why}).")
