"""An engine that loads and speaks only when a file says so, for looking at it meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from abm_engine import Engine, serve, write_wav

MARKS = Path(os.environ["MARKS_DIR"])


class Slow(Engine):
    """Waits for `loaded` or `spoken` in MARKS_DIR; holds its thread as a real model does."""

    def load(self, model: str) -> None:
        if model == "broken":
            raise RuntimeError("the weights are damaged")
        self._wait("loaded")

    def speak(self, text: str, language: str, parameters: dict[str, Any]) -> bytes:
        if text == "break":
            raise RuntimeError("the model fell over")
        if text == "wait":
            self._wait("spoken")
        return write_wav(bytes(32_000), 16_000)

    def _wait(self, mark: str) -> None:
        while not (MARKS / mark).exists():
            time.sleep(0.01)


if __name__ == "__main__":
    serve(Slow(Path(__file__).parent))
