"""What this machine is: read anew each time, unknown where it cannot be read."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

import psutil
import uv

from hosts.runners.base import HostFacts

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "AMD64": "amd64"}
ASK_SECONDS = 10


def read_facts(data_dir: Path) -> HostFacts:
    """The facts of this machine; disk is that of the data directory."""
    memory = psutil.virtual_memory()
    disk_total: int | None = None
    disk_free: int | None = None
    with contextlib.suppress(OSError):
        disk = shutil.disk_usage(data_dir)
        disk_total, disk_free = disk.total, disk.free
    return HostFacts(
        system=platform.system(),
        release=_release(),
        machine=MACHINES.get(platform.machine(), platform.machine()),
        hostname=platform.node(),
        cpu_name=_cpu_name(),
        cpu_count=psutil.cpu_count(),
        load=os.getloadavg()[0],
        memory_total=memory.total,
        memory_used=memory.total - memory.available,
        disk_total=disk_total,
        disk_free=disk_free,
        python_versions=_pythons(),
        versions={"uv": _uv_version()},
    )


@cache
def _release() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.release())
    except OSError:
        return platform.release()


@cache
def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


@cache
def _pythons() -> tuple[str, ...]:
    """Versions of the interpreters that an engine can ask for."""
    said = _ask("python", "list", "--only-installed", "--no-python-downloads")
    found = {line.split()[0].split("-")[1] for line in said.splitlines() if line.count("-") > 1}
    return tuple(sorted(found, key=lambda text: [int(n) for n in text.split(".") if n.isdigit()]))


@cache
def _uv_version() -> str:
    return _ask("--version").split(" ")[1] if _ask("--version") else ""


def _ask(*words: str) -> str:
    try:
        return subprocess.run(
            [uv.find_uv_bin(), *words],
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=True,
            cwd="/",
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
