"""An image registry (distribution) with a folder of its own, on the loopback only."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from lab.place import LabError, program
from lab.state import State

READY_SECONDS = 15.0
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry called `name`, at `127.0.0.1:port`; what was pushed stays in `folder`."""

    name: str
    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, state: State) -> None:
        """Start it if it does not run, and wait until it answers. Raises LabError."""
        if state.process(self.name) is None:
            if self.answers():
                raise LabError(f"Something else listens on {self.address}. Choose another port.")
            self.folder.mkdir(parents=True, exist_ok=True)
            config = self.folder / "config.yml"
            config.write_text(self._config())
            command = [program("docker-registry"), "serve", str(config)]
            state.start(self.name, command, env=_environment())
        self._wait(state)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _wait(self, state: State) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if state.process(self.name) is None:
                break
            if self.answers():
                return
            time.sleep(POLL_SECONDS)
        raise LabError(
            f"The registry does not answer on {self.address}. It said last:\n"
            f"{state.log_tail(self.name)}"
        )

    def _config(self) -> str:
        """JSON, which is YAML as well; the form is distribution's configuration, version 0.1."""
        return json.dumps(
            {
                "version": 0.1,
                "log": {"level": "warn", "accesslog": {"disabled": True}},
                "storage": {
                    "filesystem": {"rootdirectory": str(self.folder / "storage")},
                    "delete": {"enabled": True},
                },
                "http": {"addr": self.address},
            },
            indent=1,
        )


def _environment() -> dict[str, str]:
    """Without OTEL_* and REGISTRY_* of whoever calls: the latter would overrule the file."""
    return {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
