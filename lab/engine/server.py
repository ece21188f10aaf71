"""An engine of nothing but the standard library, which can misbehave: FAULT says how.

FAULT is empty or one of: never-listens, dies-at-once, ignores-term, needs-variable, needs-gpu,
eats-memory. LISTEN_SECONDS is how long it starts before it listens, LOAD_SECONDS how long /load
takes, MODEL_MB how much it writes to MODELS_DIR at its first start, at MODEL_MB_PER_SECOND.
It runs in the lab's images only.
"""

from __future__ import annotations

import io
import json
import math
import os
import signal
import struct
import sys
import threading
import time
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = os.environ.get("ENGINE_NAME", "lab-engine")
FAULT = os.environ.get("FAULT", "")
LISTEN_SECONDS = float(os.environ.get("LISTEN_SECONDS", "0"))
LOAD_SECONDS = float(os.environ.get("LOAD_SECONDS", "0"))
MODEL_MB = int(os.environ.get("MODEL_MB", "0"))
MODEL_MB_PER_SECOND = float(os.environ.get("MODEL_MB_PER_SECOND", "4"))
MODELS_DIR = Path(os.environ.get("MODELS_DIR", "/app/external_models"))
WANTED_VARIABLE = "LAB_TOKEN"
RATE = 24_000
MEGABYTE = 1_000_000


class State:
    model: str | None = None
    is_loading = False
    is_processing = False


class Answers(BaseHTTPRequestHandler):
    """The endpoints of a text-to-speech engine; it speaks a tone."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    """An answer in one piece: of two small ones, the second waits 40 ms for the first's receipt."""

    def do_GET(self) -> None:
        model = {"name": "tone", "displayName": "Tone", "languages": ["en"], "fields": []}
        pages: dict[str, dict[str, Any]] = {
            "/health": health(),
            "/models": {"models": [model], "defaultModel": "tone", "device": "cpu"},
            "/info": {
                "schemaVersion": 2,
                "name": NAME,
                "displayName": NAME.replace("-", " ").capitalize(),
                "engineType": "tts",
                "description": "An engine of abm's test lab. It speaks a tone.",
                "supportedLanguages": ["en"],
                "models": [{"name": "tone", "displayName": "Tone", "metadata": {}}],
                "defaultModel": "tone",
                "variants": [{"tag": "latest", "platforms": ["linux/amd64"], "requiresGpu": False}],
            },
        }
        page = pages.get(self.path)
        self.say(page or {"detail": "not found"}, 200 if page else 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/load":
            self.load()
        elif self.path == "/generate":
            self.generate(json.loads(body or b"{}"))
        elif self.path == "/shutdown":
            self.say({"status": "shutting_down"})
            if FAULT != "ignores-term":
                threading.Timer(0.1, os._exit, [0]).start()
        else:
            self.say({"detail": "not found"}, 404)

    def load(self) -> None:
        if State.is_loading:
            self.say({"detail": "Model loading in progress."}, 503)
            return
        State.is_loading, State.model = True, None
        time.sleep(LOAD_SECONDS)
        State.is_loading, State.model = False, "tone"
        self.say({"status": "loaded", "engineModelName": "tone", "error": None})

    def generate(self, asked: dict[str, Any]) -> None:
        if State.model is None:
            self.say({"detail": "Model not loaded"}, 400)
            return
        State.is_processing = True
        sound = tone(seconds=min(0.06 * len(str(asked.get("text", ""))), 10.0))
        State.is_processing = False
        self.send(sound, 200, "audio/wav")

    def say(self, values: dict[str, Any], status: int = 200) -> None:
        self.send(json.dumps(values).encode(), status, "application/json")

    def send(self, body: bytes, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        if "/health" not in str(words[:1]):
            print(format % words, flush=True)


def has_card() -> bool:
    """Whether it was given one, which may be the simulated one."""
    return os.environ.get("NVIDIA_VISIBLE_DEVICES", "void") not in {"", "void", "none"}


def health() -> dict[str, Any]:
    status = "loading" if State.is_loading else "processing" if State.is_processing else "ready"
    return {
        "status": status,
        "engineModelLoaded": State.model is not None,
        "currentEngineModel": State.model,
        "device": "cuda (simulated)" if has_card() else "cpu",
        "error": None,
        "packageVersion": "1.0.0",
        "gpuMemoryUsedMb": None,
        "gpuMemoryTotalMb": None,
    }


def tone(*, seconds: float) -> bytes:
    frames = (
        struct.pack("<h", int(9000 * math.sin(2 * math.pi * 440 * number / RATE)))
        for number in range(int(seconds * RATE))
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(b"".join(frames))
    return file.getvalue()


def download_model() -> None:
    """Stands for a model that is fetched at the first start."""
    whole, part = MODELS_DIR / "tone.bin", MODELS_DIR / "tone.bin.part"
    if MODEL_MB == 0 or whole.exists():
        return
    MODELS_DIR.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        for number in range(1, MODEL_MB + 1):
            file.write(os.urandom(MEGABYTE))
            file.flush()
            print(f"downloading tone.bin: {number} of {MODEL_MB} MB", flush=True)
            time.sleep(1 / MODEL_MB_PER_SECOND)
    part.rename(whole)


def misbehave() -> None:
    """What must go wrong before it listens."""
    if FAULT == "dies-at-once":
        load_weights(Path("/app/model/weights.bin"))
    elif FAULT == "needs-variable" and not os.environ.get(WANTED_VARIABLE):
        sys.exit(f"error: the environment variable {WANTED_VARIABLE} is not set")
    elif FAULT == "needs-gpu" and not has_card():
        raise RuntimeError("Found no NVIDIA driver on your system.")
    elif FAULT == "eats-memory":
        eaten = []
        while True:
            eaten.append(bytearray(os.urandom(1024)) * 16_000)
            time.sleep(0.01)
    elif FAULT == "never-listens":
        print("starting, and never done with it", flush=True)
        threading.Event().wait()


def load_weights(file: Path) -> bytes:
    return file.read_bytes()


def on_term(*_: object) -> None:
    print("SIGTERM: ignored" if FAULT == "ignores-term" else "SIGTERM: ending", flush=True)
    if FAULT != "ignores-term":
        os._exit(0)


def main() -> None:
    # The first process of a container ignores SIGTERM unless it says what to do.
    signal.signal(signal.SIGTERM, on_term)
    print(f"{NAME} starts", flush=True)
    misbehave()
    download_model()
    time.sleep(LISTEN_SECONDS)
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8766"))), Answers)
    server.daemon_threads = True
    print(f"{NAME} listens on port {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
