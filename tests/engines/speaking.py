"""Engines that answer over HTTP from a thread of the test: sound ones, and one that is mute."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import wave
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from engines.functional import PHRASE_FILE


class SpeakingEngine(ThreadingHTTPServer):
    """One engine: what it says it has, and what it says when asked to speak."""

    daemon_threads = True

    def __init__(self, *, sound: bytes, models: tuple[str, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.sound, self.models = sound, models
        self.loaded: list[str] = []
        self.status = "ready"
        self.answers = threading.Event()
        """Cleared, it hears and does not answer."""
        self.answers.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: SpeakingEngine

    def log_message(self, format: str, *words: object) -> None:
        """Its test says what matters."""

    def say(self, values: dict[str, Any]) -> None:
        self.say_bytes(json.dumps(values).encode(), "application/json")

    def say_bytes(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/models":
            names = self.server.models
            self.say({"models": [{"name": name} for name in names], "defaultModel": names[0]})
            return
        loaded = self.server.loaded[-1] if self.server.loaded else None
        self.say(
            {
                "status": self.server.status,
                "engineModelLoaded": loaded is not None,
                "currentEngineModel": loaded,
                "device": "cpu",
            }
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.answers.wait()
        if self.path == "/load":
            self.server.loaded.append(json.loads(body)["engineModelName"])
            self.say({"status": "loaded"})
        else:
            self.say_bytes(self.server.sound, "audio/wav")


def silence() -> bytes:
    """A second of nothing, as WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(32_000))
    return buffer.getvalue()


@contextlib.contextmanager
def speaking_engine(
    *, is_mute: bool = False, models: tuple[str, ...] = ("one", "two")
) -> Iterator[SpeakingEngine]:
    sound = silence() if is_mute else PHRASE_FILE.read_bytes()
    server = SpeakingEngine(sound=sound, models=models)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.answers.set()
        server.shutdown()
        thread.join()
        server.server_close()
