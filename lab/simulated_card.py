"""A simulated graphics card: Docker believes that there is an NVIDIA runtime. It runs no CUDA.

Docker offers `--gpus` when a program called nvidia-container-runtime-hook is on its PATH, and
wants a runtime called nvidia; here the hook does nothing and the runtime is plain runc.
"""

from __future__ import annotations

from pathlib import Path

from lab.place import program

HOOK = """#!/bin/sh
# The lab's simulated card: reads the container's state, as a real hook does, and does nothing.
cat >/dev/null
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
    return folder
