"""Other ways to a Docker by SSH, for the same host and the same key: docker-py's and the CLI's.

Both ask OpenSSH's own files; a folder made for them stands in for those of whoever runs the bench.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lab.own import OwnRemote

SSH = """#!/bin/sh
exec {ssh} -F {config} "$@"
"""
CONFIG = """Host *
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {known}
  LogLevel ERROR
"""
CALLER = """
import json, sys, time
import docker

client = docker.APIClient(base_url=sys.argv[1], version="1.41")
client.ping()
spent = []
for _ in range(int(sys.argv[2])):
    begun = time.perf_counter()
    client.ping()
    spent.append((time.perf_counter() - begun) * 1000)
print(json.dumps(spent))
"""


@dataclass(frozen=True, slots=True)
class Peers:
    """The host `own`, reached by a key that is not restricted."""

    own: OwnRemote
    folder: Path

    def prepare(self) -> None:
        """Write the files and have the key let in."""
        home = self.folder / ".ssh"
        home.mkdir(mode=0o700)
        key, known, config = home / "id_ed25519", home / "known_hosts", home / "config"
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(key)]
        subprocess.run(words, check=True, timeout=20)
        public = key.with_suffix(".pub").read_text().strip()
        self.own.say(f"mkdir -p ~/.ssh && echo '{public}' >> ~/.ssh/authorized_keys")
        known.write_text(f"{self.own.remote.address} {self.own.host_key}\n")
        config.write_text(CONFIG.format(key=key, known=known))
        wrapper = self.folder / "bin" / "ssh"
        wrapper.parent.mkdir()
        wrapper.write_text(SSH.format(ssh=shutil.which("ssh"), config=config))
        wrapper.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, "HOME": str(self.folder), "PATH": path, "DOCKER_HOST": self.own.url}

    def run(self, *words: str) -> str:
        """The docker program over `ssh://`; what it printed."""
        done = subprocess.run(
            ["docker", *words],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.stdout.strip()

    def calls_by_docker_py(self, count: int) -> list[float]:
        """Milliseconds of each ping over one connection of docker-py's own `ssh://`."""
        done = subprocess.run(
            [sys.executable, "-c", CALLER, self.own.url, str(count)],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return [float(one) for one in json.loads(done.stdout)]

    def calls_by_cli(self, count: int) -> list[float]:
        """Milliseconds of each `docker version`, which logs in anew."""
        spent = []
        for _ in range(count):
            begun = time.perf_counter()
            self.run("version", "--format", "{{.Server.Version}}")
            spent.append((time.perf_counter() - begun) * 1000)
        return spent
