"""Engines that answer over HTTP from a thread of the test: sound, mute and endless ones."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
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


class EndlessEngine(ThreadingHTTPServer):
    """Answers everything with `piece`, again and again, until it is hung up on."""

    daemon_threads = True

    def __init__(
        self, *, piece: bytes = b" " * 16_384, pause: float = 0.0, status: int = 200
    ) -> None:
        super().__init__(("127.0.0.1", 0), _EndlessAnswers)
        self.piece, self.pause, self.status = piece, pause, status
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """It was hung up on, which is what the tests are about."""


class _EndlessAnswers(BaseHTTPRequestHandler):
    server: EndlessEngine
    disable_nagle_algorithm = True

    def log_message(self, format: str, *words: object) -> None:
        """Its test says what matters."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        while True:
            self.wfile.write(self.server.piece)
            self.server.sent += len(self.server.piece)
            time.sleep(self.server.pause)

    do_POST = do_GET


@contextlib.contextmanager
def endless_engine(**values: Any) -> Iterator[EndlessEngine]:
    server = EndlessEngine(**values)
    thread = threading.Thread(target=server.serve_forever, args=(0.001,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
