"""The engines that come with abm, built from their Dockerfiles by the lab's daemon and pushed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests
import yaml

from lab import base_image
from lab.place import PROJECT, LabError, Place
from lab.pushing import Pusher
from lab.steps import step

CONTEXT = PROJECT / "bundled"
TYPES = ("tts", "stt", "text", "audio")
BUILD_SECONDS = 240


@dataclass(frozen=True, slots=True)
class BundledEngine:
    """A folder of `bundled/` with a Dockerfile."""

    folder: Path
    definition: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.definition["name"])

    @property
    def version(self) -> str:
        return str(self.definition["abm"]["version"])


def bundled_engines() -> list[BundledEngine]:
    """All of them, by type and name."""
    files = [file for kind in TYPES for file in sorted((CONTEXT / kind).glob("*/engine.yaml"))]
    return [BundledEngine(file.parent, yaml.safe_load(file.read_text())) for file in files]


def ensure(place: Place, pusher: Pusher, host: str) -> None:
    """Build and push what is not in the registry as it is here. Raises LabError."""
    base = pusher.find(base_image.NAME, base_image.TAG)
    if base is None:
        raise LabError("The registry has no base image; `up` makes it first.")
    missing = [
        (engine, key)
        for engine in bundled_engines()
        if (key := _key(engine, base.digest)) != _key_there(pusher, engine)
    ]
    if not missing:
        return
    with contextlib.closing(
        docker.DockerClient(base_url=host, version="auto", timeout=BUILD_SECONDS)
    ) as client:
        for engine, key in missing:
            with step(f"image of {engine.name}"):
                _build(client, engine, key, _images(place, engine))
        _forget(client)


def _images(place: Place, engine: BundledEngine) -> list[str]:
    return [place.image(engine.name, tag) for tag in ("latest", engine.version)]


def _key_there(pusher: Pusher, engine: BundledEngine) -> str:
    """What the image in the registry was built from; empty when a tag is missing."""
    found = [pusher.find(f"lab/{engine.name}", tag) for tag in ("latest", engine.version)]
    keys = {image.labels.get(base_image.KEY, "") if image else "" for image in found}
    return keys.pop() if len(keys) == 1 else ""


def _key(engine: BundledEngine, base: str) -> str:
    """A digest of the base and of all files that the Dockerfile can reach."""
    digest = hashlib.sha256(base.encode())
    for root in (CONTEXT / "_server", engine.folder):
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(CONTEXT)).encode() + b"\0")
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"sha256:{digest.hexdigest()}"


def _build(client: docker.DockerClient, engine: BundledEngine, key: str, tags: list[str]) -> None:
    """Classic builder, the machine's own network: that is where the package index is."""
    dockerfile = engine.folder.relative_to(CONTEXT) / "Dockerfile"
    lines = client.api.build(
        path=str(CONTEXT),
        dockerfile=str(dockerfile),
        buildargs={"BASE_IMAGE": f"{base_image.NAME}:{base_image.TAG}".removeprefix("library/")},
        labels={base_image.KEY: key},
        network_mode="host",
        tag=tags[0],
        rm=True,
        forcerm=True,
        decode=True,
    )
    _follow(lines, f"{engine.name} could not be built from bundled/{dockerfile}")
    for image in tags:
        client.api.tag(tags[0], image)
        pushed = client.api.push(image, stream=True, decode=True)
        _follow(pushed, f"{image} could not be pushed")


def _follow(lines: Iterator[dict[str, Any]], fault: str) -> None:
    """Read a stream of Docker's to its end. Raises LabError with its last lines."""
    said: list[str] = []
    try:
        for line in lines:
            if text := str(line.get("stream") or "").rstrip():
                said = [*said[-8:], text]
            if "error" in line:
                raise LabError(f"{fault}: {line['error']}\n" + "\n".join(said))
    except (docker.errors.APIError, requests.RequestException) as error:
        raise LabError(f"{fault}: {error}") from error


def _forget(client: docker.DockerClient) -> None:
    """Leave the daemon without images, so that an install has every layer to fetch."""
    for image in client.images.list():
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(str(image.id), force=True)
    client.images.prune(filters={"dangling": True})
