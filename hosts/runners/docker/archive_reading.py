"""What is in a file that is said to hold images, found out before a daemon gets it.

Two forms: that of `docker save` (manifest.json), and the OCI image layout (index.json,
github.com/opencontainers/image-spec/blob/main/image-layout.md). A daemon with the classic store
loads the second only with a manifest.json; one is made up for it here, as it needs no other change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import humanize

from hosts.runners.base import HostNotReady, InstallFailed
from hosts.runners.docker.tar_reading import (
    BLOCK,
    ZSTD_PACKED,
    Bytes,
    NoTar,
    TooLarge,
    members,
    unpacked_size,
)

DOCUMENT_BYTES = 2**20
ALL_DOCUMENTS_BYTES = 2**26
MANIFEST, INDEX = "manifest.json", "index.json"
BLOBS = "blobs/sha256/"
NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
DEEPEST = 3


@dataclass(frozen=True, slots=True)
class ArchiveContents:
    """What a file holds. Sizes are bytes."""

    names: tuple[str, ...]
    """`repository:tag` of its images, as far as they have one."""
    images: int
    layer_bytes: int
    """Of all layers, unpacked."""
    length: int
    """Of the tar without what ends it."""
    is_packed: bool
    """The file is a tar packed by gzip, bzip2 or xz."""
    made_up_manifest: bytes = b""
    """What a manifest.json must say, where the file has none."""


def read_archive(
    path: Path,
    *,
    most_bytes: int,
    architecture: str = "amd64",
    look: Callable[[int], object] = lambda done: None,
) -> ArchiveContents:
    """Look through a file. Raises InstallFailed, with the reason, for what is no image.

    `most_bytes` bounds what comes out of it, packed layers included. `architecture` chooses from an
    OCI layout for several. `look` gets the bytes that were read so far and may raise to end it.
    """
    try:
        with path.open("rb") as file:
            return _read(Bytes(file, limit=most_bytes, look=look), path, architecture)
    except NoTar as error:
        raise _no_image(path, detail=str(error)) from error
    except TooLarge as error:
        raise InstallFailed(
            f"More than {humanize.naturalsize(most_bytes)} come out of {path.name}, which is the "
            "limit. If the file is to be trusted, raise the limit in the settings of abm."
        ) from error
    except OSError as error:
        raise HostNotReady(
            f"{path} cannot be read: {error.strerror}. Check the path, and that abm's user may "
            "read it.",
            detail=str(error),
        ) from error


def _read(source: Bytes, path: Path, architecture: str) -> ArchiveContents:
    documents, sizes, kept = dict[str, bytes](), dict[str, int](), 0
    for member in members(source):
        first = next(member.content, b"")
        if first[:1] in (b"{", b"[") and member.size <= DOCUMENT_BYTES:
            documents[member.name] = first + b"".join(member.content)
            kept += member.size
            if kept > ALL_DOCUMENTS_BYTES:
                raise TooLarge
        else:
            sizes[member.name] = unpacked_size(source, member, first)
    length = source.position - BLOCK
    made_up = ""
    if MANIFEST not in documents and INDEX in documents:
        made_up = json.dumps(list(_as_saved(documents, architecture)))
    images = _images(made_up or documents.get(MANIFEST, b""))
    if not images:
        raise _no_image(path, detail="; ".join(sorted({**documents, **sizes})[:5]))
    layers = {layer for image in images for layer in _texts(image.get("Layers"))}
    return ArchiveContents(
        names=tuple(name for image in images for name in _texts(image.get("RepoTags"))),
        images=len(images),
        layer_bytes=sum(sizes.get(layer, 0) for layer in layers),
        length=length,
        is_packed=source.is_packed,
        made_up_manifest=made_up.encode(),
    )


def _images(text: str | bytes) -> list[dict[str, Any]]:
    """The images that a manifest.json names."""
    read = _json(text)
    rows = read if isinstance(read, list) else []
    return [row for row in rows if isinstance(row, dict) and row.get("Config")]


def _as_saved(documents: Mapping[str, bytes], architecture: str) -> Iterator[dict[str, Any]]:
    """The images of an OCI layout as rows of a manifest.json."""
    for named in _rows(_json(documents[INDEX]), "manifests"):
        manifest = _manifest(named, documents, architecture, DEEPEST)
        config, layers = manifest.get("config"), _rows(manifest, "layers")
        if isinstance(config, dict) and layers:
            notes = named.get("annotations")
            names = [notes.get(key) for key in NAMES] if isinstance(notes, dict) else []
            whole = [name for name in _texts(names) if ":" in name]
            yield {
                "Config": _path(config),
                "RepoTags": whole[:1] or None,
                "Layers": [_path(layer) for layer in layers],
            }


def _manifest(
    named: Mapping[str, Any], documents: Mapping[str, bytes], architecture: str, depth: int
) -> Mapping[str, Any]:
    """The manifest that a row of an index leads to; that of `architecture` if there are several."""
    found = _json(documents.get(_path(named), b""))
    if not isinstance(found, dict) or depth == 0:
        return {}
    if found.get("mediaType", named.get("mediaType")) not in INDEXES:
        return found
    rows = _rows(found, "manifests")
    fitting = [row for row in rows if _architecture(row) == architecture] or rows[:1]
    return _manifest(fitting[0], documents, architecture, depth - 1) if fitting else {}


def _architecture(row: Mapping[str, Any]) -> str:
    platform = row.get("platform")
    return str(platform.get("architecture", "")) if isinstance(platform, dict) else ""


def _path(row: Mapping[str, Any]) -> str:
    return f"{BLOBS}{str(row.get('digest', '')).removeprefix('sha256:')}"


def _rows(document: Any, key: str) -> list[dict[str, Any]]:
    rows = document.get(key) if isinstance(document, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _no_image(path: Path, *, detail: str) -> InstallFailed:
    if detail == ZSTD_PACKED:
        return InstallFailed(
            f"{path.name} is packed by zstd, which Docker does not load. Unpack it first: "
            f"zstd -d {path.name}"
        )
    return InstallFailed(
        f"{path.name} holds no image, or only a part of one. Choose a file that was made by "
        "`docker save`, or an OCI layout as a tar file, and copy it again if it was cut off.",
        detail=detail,
    )
