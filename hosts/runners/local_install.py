"""Making a local engine's environment with uv, told step by step."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import uv

from hosts.runners.base import EngineSpec, HostNotReady, InstallFailed, Progress, RunnerError
from hosts.runners.local_environment import installer_environment
from hosts.runners.local_files import EngineFiles
from hosts.runners.local_uv import disk_full, run_uv
from jobs.outcome import CancelToken

VERSIONS = re.compile(r"[\^~]?\d+(\.\d+){0,2}|([<>=!~]=?\d+(\.(\d+|\*)){0,2},?)+")


def copy_source(spec: EngineSpec, files: EngineFiles) -> None:
    """Put a copy of the engine's folder in place, and of what its neighbours share."""
    origin = spec.source_dir
    if origin is None or not (origin / "server.py").is_file():
        raise InstallFailed(f"{spec.name} has no server.py in {origin}.")
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        if spec.is_in_place:
            return
        _copy(origin, files.source)
        if files.shared is not None:
            _copy(origin.parent.parent / "_server", files.shared)
    except OSError as error:
        raise disk_error(spec, error) from error


def _copy(origin: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    left_out = shutil.ignore_patterns("__pycache__", "*.pyc", ".venv", "venv", ".git")
    shutil.copytree(origin, target, ignore=left_out)


def disk_error(spec: EngineSpec, error: OSError) -> RunnerError:
    """An OSError of writing files, in words."""
    # Copying a tree gathers its errors as texts, without their numbers.
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
        return disk_full(spec)
    return InstallFailed(f"{spec.name} could not be put in place: {error.strerror or error}")


def find_python(spec: EngineSpec) -> str:
    """The interpreter that the engine asks for. Raises HostNotReady that names what is missing."""
    wanted = spec.python_version.replace(" ", "")
    if not wanted:
        return sys.executable
    if not VERSIONS.fullmatch(wanted):
        raise InstallFailed(
            f"{spec.name} asks for the Python version {wanted[:40]!r}, which is none. Its "
            "engine.yaml must name one under installation.python_version, such as 3.11 or ^3.10."
        )
    command = [uv.find_uv_bin(), "python", "find", "--system", "--no-python-downloads"]
    found = subprocess.run(
        [*command, "--no-project", _request(wanted)],
        env=installer_environment(),
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
    )
    if found.returncode == 0 and found.stdout.strip():
        return found.stdout.strip().splitlines()[-1]
    number = wanted.lstrip("^~<>=!").partition(",")[0]
    raise HostNotReady(
        f"{spec.name} needs Python {wanted}, which this machine lacks. Install it (for example "
        f"with `apt install python{number} python{number}-venv`, or `pyenv install {number}`), "
        "then Retry.",
        detail=found.stderr[-2000:],
    )


def _request(wanted: str) -> str:
    """A version as uv takes it: `^3.10` and `~3.10` are other tools' ways to say a range."""
    number = wanted.lstrip("^~=")
    if wanted.startswith("^"):
        return f">={number},<{int(number.partition('.')[0]) + 1}"
    if wanted.startswith("~") and not wanted.startswith("~="):
        return ".".join(number.split(".")[:2])
    return wanted


def make_venv(
    spec: EngineSpec, files: EngineFiles, python: str, cancel: CancelToken
) -> Iterator[Progress]:
    """An empty environment under its final name: moved ones break."""
    shutil.rmtree(files.venv, ignore_errors=True)
    command = ["venv", "--no-project", "--python", python, str(files.venv)]
    yield from run_uv(spec, command, "venv", files.folder, cancel)


def fill_venv(spec: EngineSpec, files: EngineFiles, cancel: CancelToken) -> Iterator[Progress]:
    """The packages of requirements.txt; an engine without that file needs none."""
    requirements = files.source / "requirements.txt"
    if not requirements.is_file():
        yield Progress("fetch", line="No requirements.txt: nothing to fetch.")
        return
    command = ["pip", "install", "--python", str(files.python), "-r", str(requirements)]
    yield from run_uv(spec, command, "fetch", files.source, cancel)
