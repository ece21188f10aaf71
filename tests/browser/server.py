"""A real `manage.py serve` in a process of its own, as a person would start it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
STOP_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """One abm with its own data directory; `start`, `stop` and `kill` as often as wanted."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "serve.log"
        # Below the ports that the kernel hands out, where connections come and go.
        first = random.randrange(10_000, 32_000, 61)
        self.environment = {
            **os.environ,
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            "CATALOG_URL": "",
            "CATALOG_SYNC": "false",
            # What tests/environment.py sets for the tests themselves is not for this process.
            **dict.fromkeys(("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL"), ""),
            "ENGINE_PORT_START": str(first),
            "ENGINE_PORT_MAX": str(first + 60),
            "ENGINE_START_TIMEOUT": "20",
            **environment,
        }
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it and wait for the first answer; the seconds that took."""
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=self.environment,
            stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT,
        )
        while time.monotonic() - began < START_SECONDS:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=1) as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        self.kill()
        raise AssertionError(f"abm did not start:\n{self.said()[-4000:]}")

    def stop(self) -> int:
        """End it as Ctrl-C does; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it without a word of warning."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end_engines(self) -> None:
        """Kill every engine that runs below the data directory; abm leaves them alone."""
        for mark in (self.folder / "data" / "engines").glob("*/run.json"):
            pid = json.loads(mark.read_text())["pid"]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def setup_link(self) -> str:
        """The one-time link for the first admin, as it was printed last."""
        links = re.findall(r"https?://\S+/setup/\S+", self.said())
        assert links, self.said()[-2000:]
        return str(links[-1])
