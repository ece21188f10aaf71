"""Running git: its words as progress, its failures as sentences, with limits and an end."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import humanize
import psutil

from hosts.runners.base import DiskFull, HostNotReady, InstallFailed, Progress, RunnerError
from hosts.runners.docker.build_source import GitSource
from jobs.outcome import CancelToken

STEP = "fetch"
LOOK_SECONDS = 0.5
KEPT_LINES = 60
RECEIVED_SHARE, RESOLVED_SHARE = 0.8, 0.95
SETTINGS = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=0")
PERCENT = re.compile(r"^(?:remote: )?(?P<what>[A-Z][a-z ]+):\s+(?P<percent>\d{1,3})% ")
PASSED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"}
    | {"SYSTEMROOT", "USERPROFILE", "APPDATA"}
)


class UnknownRef(InstallFailed):
    """The repository has no such branch or tag, or does not hand out this commit alone."""


@dataclass(frozen=True, slots=True)
class Saying:
    """A text of git, curl or ssh, and what it means. May name `url`, `host` and `ref`."""

    pattern: str
    kind: type[RunnerError]
    sentence: str


SAYINGS = (
    Saying(
        r"No space left on device|Disk quota exceeded",
        DiskFull,
        "The disk of this machine is full. Free some space and try again.",
    ),
    Saying(
        r"couldn't find remote ref|Remote branch .* not found|not our ref|unadvertised object|"
        r"Needed a single revision|bad object|ambiguous argument|unknown revision",
        UnknownRef,
        "{url} has no branch, tag or commit of the name {ref}. Check it, or leave it empty for the "
        "default branch.",
    ),
    Saying(
        r"Host key verification failed|no matching host key|REMOTE HOST IDENTIFICATION",
        InstallFailed,
        "The SSH key of {host} is not known to abm's user, or changed. Connect to it once by hand "
        "as that user and check its fingerprint.",
    ),
    Saying(
        r"could not read Username|could not read Password|terminal prompts disabled|"
        r"Authentication failed|Permission denied|returned error: 40[13]|HTTP Basic: Access denied",
        InstallFailed,
        "{host} wants a login for {url}, or it does not exist. Check the address; for a private "
        "repository store a login in Git's credential helper or SSH agent of abm's user.",
    ),
    Saying(
        r"Could not resolve host|unable to look up|Name or service not known|"
        r"Temporary failure in name resolution|nodename nor servname",
        InstallFailed,
        "{host} is not known in the network. Check the address, and this machine's internet "
        "connection and DNS.",
    ),
    Saying(
        r"SSL certificate problem|server certificate verification failed|certificate verify failed",
        InstallFailed,
        "This machine does not trust the certificate of {host}. Name its authority in "
        "GIT_SSL_CAINFO.",
    ),
    Saying(
        r"Failed to connect|Couldn't connect|Connection refused|timed out|unable to connect|"
        r"No route to host|Network is unreachable|Connection reset|early EOF|hung up unexpectedly|"
        r"RPC failed|Could not connect",
        InstallFailed,
        "{host} cannot be reached, or the connection broke. Check the address and this machine's "
        "network, then try again.",
    ),
    Saying(
        r"transport '[^']*' not allowed",
        InstallFailed,
        "{url} leads to an address that abm does not fetch. Use one with https or ssh.",
    ),
    Saying(
        r"not found|does not exist|does not appear to be a git repository|returned error: 404|"
        r"not a git repository|not valid: is this a git repository|not exported",
        InstallFailed,
        "There is no Git repository at {url}. Check the address.",
    ),
)


class Git:
    """Runs git's commands for one repository in one folder, all under the same limits."""

    def __init__(
        self,
        folder: Path,
        source: GitSource,
        cancel: CancelToken,
        *,
        protocols: Collection[str],
        seconds: float,
        most_bytes: int,
    ) -> None:
        self.answer = ""
        """What the last command wrote to its standard output."""
        self._folder, self._source, self._cancel = folder, source, cancel
        self._environment = environment(protocols)
        self._seconds, self._most_bytes = seconds, most_bytes
        self._deadline = time.monotonic() + seconds
        self._looked_at = 0.0
        self._fraction = 0.0

    def run(self, *words: str) -> Iterator[Progress]:
        """One command, its words as progress. Raises RunnerError, UnknownRef or Cancelled."""
        self._cancel.check()
        last = deque[str](maxlen=KEPT_LINES)
        with tempfile.TemporaryFile() as answer:
            process = self._started(words, answer)
            try:
                self._cancel.on_cancel(lambda: _kill(process))
                yield Progress(STEP, child_pid=process.pid, child_created=_created(process.pid))
                for line in _lines(process):
                    self._look()
                    if line is not None and (progress := self._told(line, last)):
                        yield progress
                code = process.wait()
            finally:
                _kill(process)
            answer.seek(0)
            self.answer = answer.read().decode("utf-8", "replace")
        self._cancel.check()
        if code:
            raise explained("\n".join(last), self._source)

    def check_size(self, size: int) -> None:
        """Raises InstallFailed when `size` bytes are more than allowed."""
        if size > self._most_bytes:
            raise InstallFailed(
                f"{self._source.url} is larger than {humanize.naturalsize(self._most_bytes)}, "
                "which is the limit. Fetch it by hand and build from the folder."
            )

    def _started(self, words: Sequence[str], answer: IO[bytes]) -> subprocess.Popen[str]:
        command = ["git", *(word for one in SETTINGS for word in ("-c", one)), *words]
        try:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.PIPE,
                text=True,  # whose universal newlines also end what git overwrites by \r
                errors="replace",
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise HostNotReady(
                "git is not installed on this machine, so nothing can be fetched. Install it (on "
                "Debian: apt install git), or build from a folder.",
                detail=str(error),
            ) from error

    def _look(self) -> None:
        """Now and then: whether it takes too long or too much room."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        if now > self._deadline:
            raise InstallFailed(
                f"{self._source.url} did not come within {self._seconds:g} seconds. Try again, "
                "or fetch it by hand and build from the folder."
            )
        self.check_size(_size(self._folder))

    def _told(self, raw: str, last: deque[str]) -> Progress | None:
        line = raw.strip()
        if not (found := PERCENT.match(line)):
            last.append(line)
            return Progress(STEP, line=line) if line else None
        share = int(found["percent"]) / 100
        if found["what"] == "Receiving objects":
            self._fraction = max(self._fraction, share * RECEIVED_SHARE)
        elif found["what"] == "Resolving deltas":
            rest = RESOLVED_SHARE - RECEIVED_SHARE
            self._fraction = max(self._fraction, RECEIVED_SHARE + share * rest)
        return Progress(STEP, fraction=self._fraction)


def explained(text: str, source: GitSource) -> RunnerError:
    """What git said, as a sentence with the way out."""
    url, ref = source.url, source.ref
    host = urlsplit(url).hostname or url.partition("@")[2].partition(":")[0] or "this machine"
    for saying in SAYINGS:
        if re.search(saying.pattern, text, re.IGNORECASE):
            words = saying.sentence.format(url=url, ref=ref or "HEAD", host=host)
            return saying.kind(words, detail=text)
    return InstallFailed(f"{url} could not be fetched. What git said stands below.", detail=text)


def environment(protocols: Collection[str]) -> dict[str, str]:
    """For git: named variables only, English words, and nothing that asks."""
    passed = {name: value for name, value in os.environ.items() if name.upper() in PASSED}
    return {
        **passed,
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GCM_INTERACTIVE": "never",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=15",
        "GIT_ALLOW_PROTOCOL": ":".join(sorted(protocols)),
    }


def _lines(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """What it writes to its standard error, and None where it is silent, until it ends."""
    said = queue.SimpleQueue[str | None]()

    def read(pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                said.put(line)
        said.put(None)

    if process.stderr is None:
        return
    threading.Thread(target=read, args=(process.stderr,), name="git", daemon=True).start()
    while True:
        try:
            line = said.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def _size(folder: Path) -> int:
    """Bytes of the files below a folder, as far as they can be seen while others change them."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(where, name).lstat().st_size
    return total


def _created(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _kill(process: subprocess.Popen[str]) -> None:
    """With all that it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
