"""How a program uses an engine through abm: the address, and the same call for each kind of client.

What stands here works as it stands: `tests/engines/test_use.py` runs it.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from catalog.models import EngineType
from engines.functional import default_language
from engines.models import Engine

TOKEN = "ABM_TOKEN"
SPOKEN = "Good morning. This is my first voice at home."
TEXT = "Dr. Smith arrived at 9 a.m. He said hello."


@dataclass(frozen=True, slots=True)
class Call:
    """One request: a JSON body, or a recording where there is none; what comes goes to `saves`."""

    path: str
    body: dict[str, Any] | None
    saves: str = ""


@dataclass(frozen=True, slots=True)
class Snippet:
    """The call for one kind of client."""

    title: str
    text: str
    hint: str = ""


def call_of(engine: Engine) -> Call:
    """What engines of this type are for."""
    base, language = f"/api/engines/{engine.address}", default_language(engine)
    if engine.engine_type == EngineType.TTS:
        body = {"text": SPOKEN, "language": language, "ttsSpeakerWav": ""}
        return Call(f"{base}/generate", body, saves="speech.wav")
    if engine.engine_type == EngineType.TEXT:
        return Call(f"{base}/segment", {"text": TEXT, "language": language})
    if engine.engine_type == EngineType.STT:
        return Call(f"{base}/transcribe?language={language}", None)
    return Call(f"{base}/analyze", {"audioBase64": "", "language": language})


def snippets_of(engine: Engine, *, base: str) -> list[Snippet]:
    """The call in a shell, in Python and in JavaScript; `base` is abm's address."""
    call = call_of(engine)
    url = base.rstrip("/") + call.path
    return [
        Snippet("curl", _curl(call, url)),
        Snippet("Python", _python(call, url), "Python's own library, nothing to install."),
        Snippet(
            "JavaScript",
            _javascript(call, url),
            "Node 18 or newer, as an .mjs file. A web page of another site is let in only if "
            "CORS_ORIGINS names it.",
        ),
    ]


def start_call(engine: Engine, *, base: str) -> str:
    """Starts the engine and answers when it can be used."""
    url = f"{base.rstrip('/')}/api/engines/{engine.engine_type}/{engine.address}/start"
    return f'curl -X POST -H "Authorization: Bearer ${TOKEN}" {shlex.quote(url)}'


def _is_analysis(call: Call) -> bool:
    return call.body is not None and "audioBase64" in call.body


def _curl(call: Call, url: str) -> str:
    auth = f'-H "Authorization: Bearer ${TOKEN}"'
    if call.body is None:
        data = "-H 'Content-Type: audio/wav' --data-binary @recording.wav"
    elif _is_analysis(call):
        rest = {key: value for key, value in call.body.items() if key != "audioBase64"}
        head = shlex.quote(json.dumps(rest)[:-1] + ', "audioBase64": "')
        return (
            f"(printf %s {head}; base64 recording.wav | tr -d '\\n'; printf '\"}}') |\n"
            f"  curl {auth} -H 'Content-Type: application/json' \\\n"
            f"  --data-binary @- {shlex.quote(url)}"
        )
    else:
        body = shlex.quote(json.dumps(call.body, ensure_ascii=False))
        data = f"-H 'Content-Type: application/json' \\\n  -d {body}"
    saves = f" --fail -o {call.saves}" if call.saves else ""
    return f"curl {auth} {data} \\\n  {shlex.quote(url)}{saves}"


def _python(call: Call, url: str) -> str:
    lines = [
        "import json",
        "import urllib.request",
        "from os import environ",
        "from pathlib import Path",
        "",
    ]
    kind = "application/json"
    if call.body is None:
        kind = "audio/wav"
        lines += ['body = Path("recording.wav").read_bytes()']
    else:
        lines += [f"wish = {call.body!r}"]
        if _is_analysis(call):
            lines.insert(0, "import base64")
            sound = 'base64.b64encode(Path("recording.wav").read_bytes()).decode()'
            lines += [f'wish["audioBase64"] = {sound}']
        lines += ["body = json.dumps(wish).encode()"]
    lines += [
        "request = urllib.request.Request(",
        f"    {url!r},",
        "    data=body,",
        "    headers={",
        f'        "Authorization": "Bearer " + environ["{TOKEN}"],',
        f'        "Content-Type": "{kind}",',
        "    },",
        ")",
        "with urllib.request.urlopen(request) as answer:",
    ]
    if call.saves:
        return "\n".join([*lines, f'    Path("{call.saves}").write_bytes(answer.read())'])
    return "\n".join([*lines, "    print(json.dumps(json.load(answer), indent=1))"])


def _javascript(call: Call, url: str) -> str:
    lines = ['import { readFile, writeFile } from "node:fs/promises";', ""]
    kind = "application/json"
    if call.body is None:
        kind = "audio/wav"
        lines += ['const body = await readFile("recording.wav");']
    else:
        lines += [f"const wish = {json.dumps(call.body, ensure_ascii=False)};"]
        if _is_analysis(call):
            lines += ['wish.audioBase64 = (await readFile("recording.wav")).toString("base64");']
        lines += ["const body = JSON.stringify(wish);"]
    lines += [
        f"const answer = await fetch({json.dumps(url)}, {{",
        '  method: "POST",',
        "  headers: {",
        f"    Authorization: `Bearer ${{process.env.{TOKEN}}}`,",
        f'    "Content-Type": "{kind}",',
        "  },",
        "  body,",
        "});",
        "if (!answer.ok) throw new Error(await answer.text());",
    ]
    if call.saves:
        save = f'await writeFile("{call.saves}", Buffer.from(await answer.arrayBuffer()));'
        return "\n".join([*lines, save])
    return "\n".join([*lines, "console.log(await answer.json());"])
