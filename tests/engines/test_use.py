"""What the page says a program is to send, run as it stands."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from engines.models import Engine
from engines.use import snippets_of, start_call
from tests.engines.factories import make_engine, make_host
from tests.engines.speaking import silence

SECONDS = 20
RUN = {
    "curl": ["bash", "-euo", "pipefail"],
    "Python": [sys.executable],
    "JavaScript": [shutil.which("node") or ""],
}
KINDS = [kind for kind, command in RUN.items() if command[0]]
"""JavaScript is run where there is Node."""


@dataclass
class Heard:
    """What came in at an abm that answers everything."""

    url: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@pytest.fixture
def heard() -> Iterator[Heard]:
    found = Heard()

    class Answers(BaseHTTPRequestHandler):
        def log_message(self, format: str, *words: object) -> None:
            """The test says what matters."""

        def do_POST(self) -> None:
            found.path = self.path
            found.headers = {key.lower(): value for key, value in self.headers.items()}
            found.body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            said = b"RIFF" if self.path.endswith("/generate") else b'{"well": true}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def engine(db: None) -> Engine:
    return make_engine(host=make_host(host_id="docker:local"), name="voice")


def run(kind: str, text: str, folder: Path) -> str:
    file = folder / ("snippet.mjs" if kind == "JavaScript" else "snippet")
    file.write_text(text)
    done = subprocess.run(
        [*RUN[kind], str(file)],
        cwd=folder,
        env={**os.environ, "ABM_TOKEN": "abm_secret", "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine_type", ["tts", "stt", "text", "audio"])
def test_each_call_sends_what_the_api_takes(
    engine: Engine, heard: Heard, tmp_path: Path, engine_type: str, kind: str
) -> None:
    engine.engine_type = engine_type
    (tmp_path / "recording.wav").write_bytes(silence())
    text = next(one.text for one in snippets_of(engine, base=heard.url) if one.title == kind)

    said = run(kind, text, tmp_path)

    verbs = {"tts": "generate", "stt": "transcribe", "text": "segment", "audio": "analyze"}
    assert heard.path.startswith(f"/api/engines/voice:docker:local/{verbs[engine_type]}")
    assert heard.headers["authorization"] == "Bearer abm_secret"
    if engine_type == "stt":
        assert heard.headers["content-type"] == "audio/wav"
        assert heard.body == silence()
        return
    assert heard.headers["content-type"] == "application/json"
    sent: dict[str, Any] = json.loads(heard.body)
    assert sent["language"] == "en"
    if engine_type == "tts":
        assert (tmp_path / "speech.wav").read_bytes() == b"RIFF"
    else:
        assert "well" in said
    if engine_type == "audio":
        assert base64.b64decode(sent["audioBase64"]) == silence()


def test_the_start_is_a_line_for_a_shell(engine: Engine, heard: Heard, tmp_path: Path) -> None:
    run("curl", start_call(engine, base=heard.url), tmp_path)

    assert heard.path == "/api/engines/tts/voice:docker:local/start"
    assert heard.headers["authorization"] == "Bearer abm_secret"


def test_the_page_names_address_token_and_calls(operator: Client, engine: Engine) -> None:
    page = operator.get(f"/engines/{engine.pk}/?tab=use").content.decode()

    assert "http://testserver/api/" in page
    assert "voice:docker:local" in page
    assert "/accounts/profile/" in page
    assert page.count("data-copy=") >= 6


def test_the_address_for_people_outside_counts(
    operator: Client, engine: Engine, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://abm.example"

    page = operator.get(f"/engines/{engine.pk}/?tab=use").content.decode()

    assert "https://abm.example/api/" in page


def test_what_abm_cannot_use_offers_no_calls(operator: Client, engine: Engine) -> None:
    engine.definition["abm"] = {"speaks_contract": False}
    engine.save()

    page = operator.get(f"/engines/{engine.pk}/").content.decode()

    assert "tab=use" not in page
