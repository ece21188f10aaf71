"""A real registry of a test's own, and images made by hand to put into it over HTTP."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import random
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from hosts.oci.manifests import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from hosts.oci.reference import ImageReference

PROGRAM = shutil.which("docker-registry")
NO_REGISTRY = "no image registry: apt install docker-registry"
READY_SECONDS = 10
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class Pushed:
    """An image as it lies in the registry; sizes are bytes."""

    reference: ImageReference
    digest: str
    config_digest: str = ""
    layers: tuple[tuple[str, int, int], ...] = ()
    """Digest, packed size, unpacked size of each."""


@dataclass
class RealRegistry:
    """A distribution registry: its address, its files, its log of requests."""

    address: str
    storage: Path
    log: Path
    process: subprocess.Popen[bytes]

    def reference(self, text: str) -> ImageReference:
        return ImageReference.parse(f"{self.address}/{text}")

    def requests(self, needle: str) -> list[str]:
        """Lines of the access log that contain `needle`."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if '"' in line and "HTTP/1.1" in line and needle in line]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def push(
        self,
        name: str,
        *,
        architecture: str = "amd64",
        variant: str = "",
        layers: Sequence[int] = (2000, 300),
        seed: int = 1,
        is_docker: bool = False,
    ) -> Pushed:
        """Make an image with layers of these sizes and put it under this name."""
        reference = self.reference(name)
        made = [_layer(size, seed + number) for number, size in enumerate(layers)]
        config = json.dumps(
            {
                "os": "linux",
                "architecture": architecture,
                **({"variant": variant} if variant else {}),
                "rootfs": {"type": "layers", "diff_ids": [digest(raw) for raw, _ in made]},
            }
        ).encode()
        for blob in (config, *(packed for _, packed in made)):
            self.put_blob(reference.repository, blob)
        layer_type = DOCKER_LAYER if is_docker else OCI_LAYER
        content = _json(
            schemaVersion=2,
            mediaType=DOCKER_MANIFEST if is_docker else OCI_MANIFEST,
            config=_part(DOCKER_CONFIG if is_docker else OCI_CONFIG, config),
            layers=[_part(layer_type, packed) for _, packed in made],
        )
        self.put_manifest(reference, content, DOCKER_MANIFEST if is_docker else OCI_MANIFEST)
        sizes = tuple((digest(packed), len(packed), len(raw)) for raw, packed in made)
        return Pushed(reference, digest(content), digest(config), sizes)

    def push_index(
        self,
        name: str,
        children: Mapping[str, Pushed],
        *,
        is_docker: bool = False,
        note: str = "",
    ) -> Pushed:
        """Put an index under this name: platform -> image that was pushed before."""
        reference = self.reference(name)
        kind = DOCKER_INDEX if is_docker else OCI_INDEX
        entries = []
        for platform, child in children.items():
            os, architecture, *variant = platform.split("/")
            entries.append(
                {
                    "mediaType": DOCKER_MANIFEST if is_docker else OCI_MANIFEST,
                    "digest": child.digest,
                    "size": 500,
                    "platform": {
                        "os": os,
                        "architecture": architecture,
                        **({"variant": variant[0]} if variant else {}),
                    },
                }
            )
        more: dict[str, Any] = {"annotations": {"note": note}} if note else {}
        content = _json(schemaVersion=2, mediaType=kind, manifests=entries, **more)
        self.put_manifest(reference, content, kind)
        return Pushed(reference, digest(content))

    def put_blob(self, repository: str, content: bytes) -> None:
        with httpx.Client(trust_env=False) as client:
            begun = client.post(f"http://{self.address}/v2/{repository}/blobs/uploads/")
            assert begun.status_code == 202, begun.text
            done = client.put(
                begun.headers["location"],
                params={
                    **dict(httpx.URL(begun.headers["location"]).params),
                    "digest": digest(content),
                },
                content=content,
                headers={"Content-Type": "application/octet-stream"},
            )
            assert done.status_code == 201, done.text

    def put_manifest(self, reference: ImageReference, content: bytes, kind: str) -> None:
        url = f"http://{self.address}/v2/{reference.repository}/manifests/{reference.version}"
        with httpx.Client(trust_env=False) as client:
            done = client.put(url, content=content, headers={"Content-Type": kind})
        assert done.status_code == 201, done.text

    def damage(self, content_digest: str) -> None:
        """Change a stored file, as a bad disk would."""
        algorithm, _, number = content_digest.partition(":")
        folder = self.storage / "docker/registry/v2/blobs" / algorithm
        file = folder / number[:2] / number / "data"
        file.write_bytes(file.read_bytes().replace(b"linux", b"linuX"))


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextlib.contextmanager
def real_registry(folder: Path, *, auth: Mapping[str, Any] | None = None) -> Iterator[RealRegistry]:
    """Start it on a free port; `auth` is the section of its configuration."""
    assert PROGRAM is not None, NO_REGISTRY
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    storage, log, config = folder / "storage", folder / "log", folder / "config.yml"
    settings: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
        "http": {"addr": address},
    }
    if auth:
        settings["auth"] = dict(auth)
    config.write_text(yaml.safe_dump(settings))
    with log.open("wb") as file:
        process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=file, stderr=file)
    try:
        _wait(address, process, log)
        yield RealRegistry(address, storage, log, process)
    finally:
        process.kill()
        process.wait()


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, _, port = address.partition(":")
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"the registry did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _layer(size: int, seed: int) -> tuple[bytes, bytes]:
    """A layer with one file of random text: as a tar, and packed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        content = bytes(random.Random(seed).choices(b"abcdefgh", k=size))
        entry = tarfile.TarInfo(f"file-{seed}")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    raw = buffer.getvalue()
    return raw, gzip.compress(raw, mtime=0)


def _part(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest(content), "size": len(content)}


def _json(**content: Any) -> bytes:
    return json.dumps(content, indent=1).encode()
