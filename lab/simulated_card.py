"""A simulated graphics card: Docker believes that there is an NVIDIA runtime. It runs no CUDA.

Docker offers `--gpus` when a program called nvidia-container-runtime-hook is on its PATH, and
wants a runtime called nvidia; here the runtime is plain runc. As the real hook does, this one puts
nvidia-smi into containers that asked for the capability `utility`: a simulated one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import simulated_smi
from lab.place import program

HOOK = """#!/bin/sh
# The lab's simulated card: reads the container's state, as a real hook does, to find its files.
bundle=$(sed -n 's/.*"bundle": *"\\([^"]*\\)".*/\\1/p')
config=$bundle/config.json
grep -q 'NVIDIA_DRIVER_CAPABILITIES=[a-z,]*utility' "$config" || exit 0
root=$(sed -n 's/.*"root":{"path":"\\([^"]*\\)".*/\\1/p' "$config")
mkdir -p "$root/usr/bin" && cp -r "${0%/*}/inside/." "$root/usr/bin"
exit 0
"""


def runtimes() -> dict[str, dict[str, str]]:
    """For daemon.json."""
    return {"nvidia": {"path": program("runc")}}


def write(folder: Path) -> Path:
    """Put the hook into `folder`, which is to be on the daemon's PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "nvidia-container-runtime-hook"
    file.write_text(HOOK)
    file.chmod(0o755)
    write_for_others(folder / "inside", seen_as="/usr/bin")
    return folder


def write_for_others(folder: Path, *, seen_as: str) -> None:
    """The simulated nvidia-smi for where `folder` has another name, its answers beside it."""
    shutil.copytree(simulated_smi.CARDS, folder / "cards", dirs_exist_ok=True)
    file = simulated_smi.write(folder)
    text = file.read_text().replace(str(simulated_smi.CARDS), f"{seen_as}/cards")
    file.write_text(text.replace(str(folder), seen_as))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path == file else 0o644)
