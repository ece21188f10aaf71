"""The tiny engine of these tests: an HTTP server of nothing but the standard library."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from hosts.runners.base import EngineRunner, EngineSpec
from jobs.outcome import CancelToken

TINY = Path(__file__).parent / "tiny"


def install(runner: EngineRunner, spec: EngineSpec) -> list[str]:
    return [progress.step for progress in runner.install(spec, CancelToken())]


def get(url: str) -> dict[str, str]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        found: dict[str, str] = json.load(answer)
        return found


def answers(url: str) -> bool:
    try:
        get(f"{url}/health")
    except OSError:
        return False
    return True
