"""Making a local engine's environment with uv, told step by step."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import uv

from hosts.runners.base import (
    DiskFull,
    EngineSpec,
    HostNotReady,
    InstallFailed,
    Progress,
    RunnerError,
)
from hosts.runners.local_environment import installer_environment
from hosts.runners.local_files import EngineFiles
from jobs.outcome import CancelToken

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
DOWNLOADING = re.compile(r"^Downloading (\S+) \(([\d.]+)\s*([KMG]?i?B)\)")
DOWNLOADED = re.compile(r"^\s*Downloaded (\S+)")
CREDENTIALS = re.compile(r"//[^/\s@]+@")
KEPT_LINES = 40


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
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _disk_full(spec)
    return InstallFailed(f"{spec.name} could not be put in place: {error.strerror or error}")


def _disk_full(spec: EngineSpec) -> DiskFull:
    return DiskFull(
        f"The disk is full, so {spec.name} could not be installed. Free some space, then Retry."
    )


def find_python(spec: EngineSpec) -> str:
    """The interpreter that the engine asks for. Raises HostNotReady that names what is missing."""
    wanted = spec.python_version.strip()
    request = (
        f">={wanted[1:]},<{int(wanted[1:].split('.')[0]) + 1}" if wanted[:1] == "^" else wanted
    )
    command = [uv.find_uv_bin(), "python", "find", "--no-python-downloads", "--no-project"]
    found = subprocess.run(
        [*command, *([request] if request else [])],
        env=installer_environment(),
        capture_output=True,
        text=True,
        cwd="/",
    )
    if found.returncode == 0 and found.stdout.strip():
        return found.stdout.strip().splitlines()[-1]
    raise HostNotReady(
        f"{spec.name} needs Python {wanted or '3'}, which this machine lacks. Install it (for "
        f"example with `apt install python{wanted.lstrip('^>=~')}` or pyenv), then Retry.",
        detail=found.stderr[-2000:],
    )


def make_venv(
    spec: EngineSpec, files: EngineFiles, python: str, cancel: CancelToken
) -> Iterator[Progress]:
    """An empty environment under its final name: moved ones break."""
    shutil.rmtree(files.venv, ignore_errors=True)
    command = ["venv", "--no-project", "--python", python, str(files.venv)]
    yield from _run(spec, command, "venv", files.folder, cancel)


def fill_venv(spec: EngineSpec, files: EngineFiles, cancel: CancelToken) -> Iterator[Progress]:
    """The packages of requirements.txt; an engine without that file needs none."""
    requirements = files.source / "requirements.txt"
    if not requirements.is_file():
        yield Progress("fetch", line="No requirements.txt: nothing to fetch.")
        return
    command = ["pip", "install", "--python", str(files.python), "-r", str(requirements)]
    yield from _run(spec, command, "fetch", files.source, cancel)


class _Sizes:
    """What uv says of downloads, as bytes done and bytes in all."""

    def __init__(self) -> None:
        self.total: dict[str, int] = {}
        self.done: set[str] = set()
        self.is_linking = False
        """Everything is fetched, and the rest of the lines tell of putting it in place."""

    def read(self, line: str) -> None:
        if found := DOWNLOADING.match(line):
            self.total[found[1]] = int(float(found[2]) * UNITS.get(found[3], 1))
        elif found := DOWNLOADED.match(line):
            self.done.add(found[1])
        elif line.startswith("Prepared"):
            self.done.update(self.total)

    @property
    def bytes_done(self) -> int:
        return sum(self.total.get(name, 0) for name in self.done)

    @property
    def bytes_total(self) -> int | None:
        return sum(self.total.values()) or None


def _run(
    spec: EngineSpec, command: Sequence[str], step: str, folder: Path, cancel: CancelToken
) -> Iterator[Progress]:
    """Run uv, its lines as progress; cancelling kills its process group at once."""
    cancel.check()
    process = subprocess.Popen(
        [uv.find_uv_bin(), *command, "--system-certs", "--no-config"],
        env=installer_environment(),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    cancel.on_cancel(lambda: _kill(process))
    created = None
    with contextlib.suppress(psutil.Error):
        created = psutil.Process(process.pid).create_time()
    yield Progress(step, child_pid=process.pid, child_created=created)
    sizes, last = _Sizes(), deque[str](maxlen=KEPT_LINES)
    try:
        for raw in process.stdout or ():
            line = CREDENTIALS.sub("//***@", raw.rstrip())
            sizes.read(line)
            last.append(line)
            yield _progress(step, line, sizes)
        code = process.wait()
    finally:
        _kill(process)
        if process.stdout is not None:
            process.stdout.close()
    cancel.check()
    if code != 0:
        raise failure(spec, list(last))


def _progress(step: str, line: str, sizes: _Sizes) -> Progress:
    done, total = sizes.bytes_done, sizes.bytes_total
    if step != "fetch":
        return Progress(step, line=line)
    sizes.is_linking = sizes.is_linking or line.startswith(("Prepared", "Installed"))
    if sizes.is_linking:
        return Progress("link", line=line, fraction=1.0 if line.startswith(" +") else 0.5)
    fraction = done / total if total else 0.1 if line.startswith("Resolved") else None
    return Progress(step, line=line, fraction=fraction, bytes_done=done, bytes_total=total)


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def failure(spec: EngineSpec, lines: Sequence[str]) -> RunnerError:
    """uv's last lines as a sentence with the way out; the lines themselves are the detail."""
    text = "\n".join(lines)
    if "No space left on device" in text or "os error 28" in text or "Disk quota" in text:
        full = _disk_full(spec)
        full.detail = text
        return full
    if "client error (Connect)" in text or "dns error" in text or "error sending request" in text:
        return InstallFailed(
            f"The package index could not be reached, so {spec.name} could not be installed. "
            "Check this machine's network (HTTPS_PROXY, UV_DEFAULT_INDEX), then Retry.",
            detail=text,
        )
    reason = ""
    for line in lines:
        if "╰─▶" in line or "Because" in line:
            reason = line.partition("╰─▶")[2].strip() or line.strip()
            break
    if not reason:
        errors = [line for line in lines if line.lower().startswith(("error:", "  ×", "×"))]
        reason = errors[0].lstrip(" ×").removeprefix("error:").strip() if errors else ""
    said = f": {reason.rstrip('.')}" if reason else ""
    return InstallFailed(
        f"The packages of {spec.name} cannot be installed{said}. Its requirements.txt names them; "
        "the log has all that was said.",
        detail=text,
    )
