"""abm's own compose file on a Docker daemon of a test's own, as a person would use it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.own import OwnDaemon
from tests.browser.server import ROOT, free_port

IMAGE = "abm:latest"
BUILD_SECONDS, UP_SECONDS, POLL_SECONDS = 300, 120, 0.1
NO_COMPOSE = "no docker-compose: apt install docker-compose"


def has_compose() -> bool:
    return shutil.which("docker-compose") is not None


class Stack:
    """A project of compose with an `.env` of its own."""

    def __init__(
        self,
        own: OwnDaemon,
        folder: Path,
        *,
        project: str = "home",
        files: Sequence[str] = ("docker-compose.yml",),
        **values: str,
    ) -> None:
        self.own, self.folder, self.port = own, folder, free_port()
        self.project, self.files = project, files
        self.url = f"http://127.0.0.1:{self.port}"
        self.values = {
            "PORT": str(self.port),
            "BIND": "127.0.0.1",
            "DOCKER_SOCKET": str(own.daemon.socket),
            "BUILD_NETWORK": "host",
            **values,
        }

    def compose(self, *words: str, seconds: float = UP_SECONDS) -> str:
        """What it says; raises CalledProcessError when it fails."""
        done = self.tried(*words, seconds=seconds)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}\n{self.logs()[-6000:]}"
        return done.stdout

    def tried(self, *words: str, seconds: float = UP_SECONDS) -> subprocess.CompletedProcess[str]:
        file = self.folder / ".env"
        file.write_text("".join(f"{key}={value}\n" for key, value in self.values.items()))
        base = ["docker-compose", "--project-name", self.project, "--env-file", str(file)]
        files = [f"--file={ROOT / name}" for name in self.files]
        return subprocess.run(
            [*base, *files, *words],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "DOCKER_HOST": self.own.host, "HOME": "/nonexistent"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )

    def up(self, *words: str) -> float:
        """Bring it up and wait for the first page; the seconds that took."""
        began = time.monotonic()
        self.compose("up", "-d", *words)
        while time.monotonic() - began < UP_SECONDS:
            if self.answers():
                return time.monotonic() - began
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"no page within {UP_SECONDS} s:\n{self.logs()[-4000:]}")

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def logs(self, *services: str) -> str:
        return self.tried("logs", "--no-color", "--tail=80", *services).stdout

    def setup_link(self) -> str:
        """The link for the first admin as web's log has it, under the published port."""
        paths = re.findall(r"(/accounts/setup/[\w-]+/)", self.logs("web"))
        assert paths, self.logs("web")
        return f"{self.url}{paths[-1]}"

    def containers(self) -> dict[str, dict[str, Any]]:
        """What Docker says of each container, by service."""
        label = f"com.docker.compose.project={self.project}"
        with contextlib.closing(self.own.client()) as client:
            rows = client.containers.list(all=True, filters={"label": label})
            return {row.labels["com.docker.compose.service"]: row.attrs for row in rows}

    def said_in(self, service: str, *words: str) -> str:
        """What a command says that is run in a service's container; fails with it."""
        with contextlib.closing(self.own.client()) as client:
            done = client.containers.get(self.containers()[service]["Id"]).exec_run(list(words))
        said = str(done.output.decode())
        assert done.exit_code == 0, said
        return said

    def close(self) -> None:
        """Take it down with its volumes."""
        self.tried("down", "--volumes", "--timeout=5")

    def wait_healthy(self, *services: str, seconds: float = 60) -> None:
        until, found = time.monotonic() + seconds, {}
        while time.monotonic() < until:
            rows = self.containers()
            found = {name: rows[name]["State"].get("Health", {}).get("Status") for name in services}
            if set(found.values()) == {"healthy"}:
                return
            time.sleep(0.5)
        raise AssertionError(f"not healthy: {json.dumps(found)}\n{self.logs()[-4000:]}")


@contextlib.contextmanager
def catalog_served(folder: Path, address: str) -> Iterator[str]:
    """A folder's files by HTTP at one of the daemon's bridges; yields the catalog's URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://{address}:{server.server_address[1]}/catalog.yaml"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
