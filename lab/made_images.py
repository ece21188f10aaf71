"""Images put together from layers, without a build: made-up engines, a tiny one, a foreign one."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

from lab.base_image import KEY
from lab.base_image import NAME as BASE
from lab.made_engines import MadeEngine, made_engines
from lab.place import Place, program
from lab.pushing import Image, Layer, Pusher, digest_of
from lab.steps import step

SERVER = Path(__file__).with_name("engine") / "server.py"
MEGABYTE = 1_000_000
PORT = "8766"
ELF_ARM64 = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, *[0] * 10)
"""The first 64 bytes of a program for arm64: enough for a kernel to refuse it."""
TINY_HEALTH = b'{"status":"ready","engineModelLoaded":true,"currentEngineModel":"none",\
"device":"cpu","error":null}'


def ensure(place: Place, pusher: Pusher, base: Image) -> None:
    """Push what is not in the registry as it is here."""
    server = Layer.of_files({"app/": b"", "app/server.py": SERVER.read_bytes()})
    for engine in made_engines(place):
        key = digest_of(f"{base.digest} {server.digest} {engine}".encode())
        if not _is_there(pusher, engine.name, key):
            with step(f"image of {engine.name}"):
                data = made_up_layers(engine.layers, engine.megabytes)
                run = _run(engine, base, key)
                pusher.push(
                    f"lab/{engine.name}", "latest", [server, *data], base=(BASE, base), run=run
                )
    _ensure_tiny(pusher)
    _ensure_foreign(pusher)


def made_up_layers(count: int, megabytes: int, *, seed: str = "abm") -> list[Layer]:
    """So many layers of so many megabytes in all; each half noise, half text that compresses."""
    layers = []
    for number in range(count):
        size = megabytes * MEGABYTE // count // 2
        noise = random.Random(f"{seed} {number}").randbytes(size)
        text = b"".join(b"layer %d line %d\n" % (number, line) for line in range(1000))
        files = {
            "data/": b"",
            f"data/{number}.noise": noise,
            f"data/{number}.text": (text * (size // len(text) + 1))[:size],
        }
        layers.append(Layer.of_files(files))
    return layers


def _run(engine: MadeEngine, base: Image, key: str) -> dict[str, Any]:
    """The `config` part of the image's configuration."""
    own = {"ENGINE_NAME": engine.name, "PORT": PORT, **engine.environment}
    return {
        "Cmd": ["python3", "server.py"],
        "Env": [*base.config["config"]["Env"], *(f"{name}={text}" for name, text in own.items())],
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "Labels": {KEY: key},
        "WorkingDir": "/app",
    }


def tiny_layer() -> Layer:
    """One statically linked program and three pages: an engine of 2 MB, for GET alone."""
    return Layer.of_files(
        {
            "bin/": b"",
            "bin/busybox": Path(program("busybox")).read_bytes(),
            "bin/sh": Path(program("busybox")).read_bytes(),
            "tmp/": b"",
            "www/": b"",
            "www/health": TINY_HEALTH,
            "www/info": b'{"schemaVersion":2,"name":"tiny","displayName":"Tiny",\
"engineType":"tts","models":[{"name":"none"}],"defaultModel":"none"}',
            "www/models": b'{"models":[{"name":"none"}],"defaultModel":"none","device":"cpu"}',
        },
        executable={"bin/busybox", "bin/sh"},
    )


def tiny_run(**more: Any) -> dict[str, Any]:
    """The `config` part for an image with tiny_layer."""
    return {
        "Cmd": ["/bin/busybox", "httpd", "-f", "-p", PORT, "-h", "/www"],
        "Env": ["PATH=/bin"],
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "StopSignal": "SIGKILL",  # as a container's first process it ignores SIGTERM
        **more,
    }


def _ensure_tiny(pusher: Pusher) -> None:
    layer = tiny_layer()
    key = digest_of(f"{layer.digest} {tiny_run()}".encode())
    if not _is_there(pusher, "tiny", key):
        with step("image of tiny"):
            pusher.push("lab/tiny", "latest", [layer], run=tiny_run(Labels={KEY: key}))


def _ensure_foreign(pusher: Pusher) -> None:
    """For arm64 only: `latest` as a plain manifest, `index` inside a list of platforms."""
    layer = Layer.of_files({"engine": ELF_ARM64}, executable={"engine"})
    if not _is_there(pusher, "foreign-arch", layer.digest):
        with step("image of foreign-arch"):
            run = {"Cmd": ["/engine"], "Labels": {KEY: layer.digest}}
            name = "lab/foreign-arch"
            digest = pusher.push(name, "latest", [layer], run=run, architecture="arm64")
            pusher.push_index(name, "index", {"arm64": digest})


def _is_there(pusher: Pusher, name: str, key: str) -> bool:
    there = pusher.find(f"lab/{name}")
    return there is not None and there.labels.get(KEY) == key
