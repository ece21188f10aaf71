"""Serves the lab's catalog over HTTP on the loopback, so that abm can read it as a source."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request

from lab.place import LabError, Place
from lab.state import State

NAME = "files"
READY_SECONDS = 10.0
POLL_SECONDS = 0.02


def start(place: Place, state: State) -> None:
    """Start it if it does not run, and wait until it answers. Raises LabError."""
    if state.process(NAME) is None:
        if answers(place):
            raise LabError(
                f"Something else listens on port {place.files_port}. Set ABM_LAB_FILES_PORT."
            )
        state.start(NAME, _command(place), env={})
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if state.process(NAME) is None:
            break
        if answers(place):
            return
        time.sleep(POLL_SECONDS)
    raise LabError(f"Nothing answers at {place.catalog_url}. It said last:\n{state.log_tail(NAME)}")


def answers(place: Place) -> bool:
    try:
        with urllib.request.urlopen(place.catalog_url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _command(place: Place) -> list[str]:
    where = ["--bind", "127.0.0.1", "--directory", str(place.files)]
    return [sys.executable, "-I", "-m", "http.server", *where, str(place.files_port)]
