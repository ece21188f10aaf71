"""Running uv: its lines as progress, its failures as sentences."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import uv

from hosts.runners.base import DiskFull, EngineSpec, InstallFailed, Progress, RunnerError
from hosts.runners.local_environment import installer_environment
from jobs.outcome import CancelToken

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
DOWNLOADING = re.compile(r"^Downloading (\S+) \(([\d.]+)\s*([KMG]?i?B)\)")
DOWNLOADED = re.compile(r"^\s*Downloaded (\S+)")
CREDENTIALS = re.compile(r"//[^/\s@]+@")
CAUSE = re.compile(r"^\s*(?:cause:|Caused by:|╰─▶|├─▶)\s*(.+)$")
URL = re.compile(r"https?://[^\s)`]+")
RESOLVED_SHARE = 0.1
KEPT_LINES = 60
NOISE = ("Activate with:",)


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


def run_uv(
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
    last = deque[str](maxlen=KEPT_LINES)
    try:
        cancel.on_cancel(lambda: _kill(process))
        yield Progress(step, child_pid=process.pid, child_created=_created(process.pid))
        yield from _told(process, step, last)
        code = process.wait()
    finally:
        _kill(process)
        if process.stdout is not None:
            process.stdout.close()
    cancel.check()
    if code != 0:
        raise failure(spec, list(last))


def _created(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _told(process: subprocess.Popen[str], step: str, last: deque[str]) -> Iterator[Progress]:
    """Each line as progress, without credentials; `last` keeps those at the end."""
    sizes = _Sizes()
    for raw in process.stdout or ():
        line = CREDENTIALS.sub("//***@", raw.rstrip())
        if line.startswith(NOISE):
            continue
        sizes.read(line)
        last.append(line)
        yield _progress(step, line, sizes)


def _progress(step: str, line: str, sizes: _Sizes) -> Progress:
    done, total = sizes.bytes_done, sizes.bytes_total
    if step != "fetch":
        return Progress(step, line=line)
    sizes.is_linking = sizes.is_linking or line.startswith(("Prepared", "Installed"))
    if sizes.is_linking:
        return Progress("link", line=line, fraction=1.0 if line.startswith(" +") else 0.5)
    if total:
        fraction = RESOLVED_SHARE + (1 - RESOLVED_SHARE) * done / total
        return Progress(step, line=line, fraction=fraction, bytes_done=done, bytes_total=total)
    return Progress(step, line=line, fraction=RESOLVED_SHARE if "Resolved" in line else None)


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def disk_full(spec: EngineSpec, *, detail: str = "") -> DiskFull:
    return DiskFull(
        f"The disk is full, so {spec.name} could not be installed. Free some space, then Retry.",
        detail=detail,
    )


def failure(spec: EngineSpec, lines: Sequence[str]) -> RunnerError:
    """uv's last lines as a sentence with the way out; the lines themselves are the detail."""
    text = "\n".join(lines)
    if "No space left on device" in text or "os error 28" in text or "Disk quota" in text:
        return disk_full(spec, detail=text)
    if "client error (Connect)" in text or "dns error" in text or "error sending request" in text:
        return InstallFailed(
            f"{_server_in(text)} could not be reached, so {spec.name} could not be installed. "
            "Check this machine's network (HTTPS_PROXY, UV_DEFAULT_INDEX), then Retry.",
            detail=text,
        )
    reason = _reason(lines)
    said = f": {reason.rstrip('.')}" if reason else ""
    return InstallFailed(
        f"The packages of {spec.name} cannot be installed{said}. Its requirements.txt names them; "
        "the log has all that was said.",
        detail=text,
    )


def _server_in(text: str) -> str:
    found = URL.search(text)
    host = urlsplit(found[0]).netloc if found else ""
    return f"The package server {host}" if host else "The package index"


def _reason(lines: Sequence[str]) -> str:
    """What went wrong, naming the requirement, and the innermost cause that uv tells."""
    errors = [line for line in lines if line.lower().startswith(("error:", "  ×", "×"))]
    headline = errors[-1].lstrip(" ×").removeprefix("error:").strip() if errors else ""
    causes = [found[1] for line in lines if (found := CAUSE.match(line))]
    if headline.startswith("No solution found") and causes:
        return causes[0]
    innermost = _last_words(lines) or (causes[-1] if causes else "")
    return ": ".join(part for part in (headline, innermost) if part)


def _last_words(lines: Sequence[str]) -> str:
    """The last line that a package's own build wrote."""
    words = ""
    is_inside = False
    for line in lines:
        if line.strip() == "[stderr]":
            is_inside = True
        elif not line.startswith(" ") and line.strip():
            is_inside = False
        elif is_inside and line.strip():
            words = line.strip()
    return words
