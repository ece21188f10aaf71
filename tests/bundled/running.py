"""Real engines for tests: each in its own environment, made once and kept below .cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uv

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "bundled"
CACHE = ROOT / ".cache" / "engine-venvs"
SLOW = Path(__file__).parent / "slow"
FOLDERS = {
    "espeak-ng": "tts/espeak-ng",
    "pocketsphinx": "stt/pocketsphinx",
    "pysbd": "text/pysbd",
    "silero-vad": "audio/silero-vad",
}
START_SECONDS = 30


def python_of(name: str) -> Path:
    """The interpreter of an engine's environment, made if its requirements are new."""
    requirements = BUNDLED / FOLDERS[name] / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    folder = CACHE / f"{name}-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        # Tests run in several processes, which would make the same environment at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            uv_bin = uv.find_uv_bin()
            subprocess.run([uv_bin, "venv", "-q", "--clear", str(folder)], check=True)
            install = [uv_bin, "pip", "install", "-q", "--system-certs"]
            python = str(folder / "bin" / "python")
            subprocess.run([*install, "--python", python, "-r", str(requirements)], check=True)
            (folder / "ready").touch()
    return folder / "bin" / "python"


def free_ports(count: int) -> range:
    """Neighbouring ports below those that the system gives to connections by itself."""
    while True:
        first = random.randrange(20_000, 30_000 - count)
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return range(first, first + count)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_engine(name: str, samples: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """(URL, process) of a bundled engine that answers; ended afterwards."""
    with running_folder(BUNDLED / FOLDERS[name], python_of(name), samples) as running:
        yield running


@contextmanager
def running_slow(samples: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The engine in `slow/`, which waits for the marks `loaded` and `spoken` in `samples`."""
    with running_folder(SLOW, python_of("pysbd"), samples) as running:
        yield running


@contextmanager
def running_folder(
    folder: Path, python: Path, samples: Path
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """(URL, process) of the engine in `folder` as soon as it answers; ended afterwards."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(BUNDLED / "_server"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SAMPLES_DIR": str(samples),
        "MARKS_DIR": str(samples),
    }
    process = subprocess.Popen(
        [str(python), "server.py", "--port", str(port)], cwd=folder, env=environment
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + START_SECONDS
        while not answers(url):
            assert process.poll() is None, f"{folder.name} ended while it started"
            assert time.monotonic() < until, f"{folder.name} did not answer"
            time.sleep(0.05)
        yield url, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/health", timeout=1)
    except httpx.HTTPError:
        return False
    return True


def wait_for_status(url: str, wanted: str) -> None:
    """Until /health says `wanted`."""
    until = time.monotonic() + START_SECONDS
    while (said := httpx.get(f"{url}/health").json()["status"]) != wanted:
        assert time.monotonic() < until, f"still {said}"
        time.sleep(0.01)


def load(url: str) -> None:
    """Load an engine's default model."""
    model = httpx.get(f"{url}/models").json()["defaultModel"]
    httpx.post(f"{url}/load", json={"engineModelName": model}, timeout=60).raise_for_status()
