"""Files that hold images, or seem to, made without a daemon."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any


def tar_of(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


def archive_of(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(tar_of(files))
    return path


def oci_layout(path: Path, *, name: str, wrong_layer: bool = False) -> Path:
    """An index for two machines with packed layers, as `buildx --output type=oci` writes it."""
    blobs = dict[str, bytes]()

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def manifest(architecture: str) -> dict[str, Any]:
        layer = tar_of({"for": architecture.encode()})
        told = tar_of({"for": b"another"}) if wrong_layer else layer
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Labels": {"for": architecture}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(told).hexdigest()}"]},
        }
        oci = "application/vnd.oci.image"
        document = {
            "schemaVersion": 2,
            "mediaType": f"{oci}.manifest.v1+json",
            "config": blob(json.dumps(config).encode(), f"{oci}.config.v1+json"),
            "layers": [blob(gzip.compress(layer), f"{oci}.layer.v1.tar+gzip")],
        }
        row = blob(json.dumps(document).encode(), f"{oci}.manifest.v1+json")
        return {**row, "platform": {"os": "linux", "architecture": architecture}}

    kind = "application/vnd.oci.image.index.v1+json"
    rows = [manifest("arm64"), manifest("amd64")]
    inner = blob(
        json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": rows}).encode(), kind
    )
    notes = {"annotations": {"io.containerd.image.name": name}} if name else {}
    index = {"schemaVersion": 2, "manifests": [{**inner, **notes}]}
    head = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps(index).encode(),
    }
    return archive_of(path, {**head, **blobs})
