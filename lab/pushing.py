"""Making images from layers and pushing them, with no daemon: the registry's HTTP API alone.

Forms: OCI distribution specification 1.0 (endpoints), Docker image manifest version 2 schema 2 and
manifest list (media types). Digests are sha256 of the bytes as sent.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from lab.place import LabError

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: `content` is a gzipped tar, `diff_id` the digest of the tar inside."""

    content: bytes = field(repr=False)
    diff_id: str
    digest: str

    @classmethod
    def of_tar(cls, tar: bytes) -> Self:
        content = gzip.compress(tar, compresslevel=1, mtime=0)
        return cls(content, digest_of(tar), digest_of(content))

    @classmethod
    def of_gzip(cls, content: bytes) -> Self:
        return cls(content, digest_of(zlib.decompress(content, wbits=31)), digest_of(content))

    @classmethod
    def of_files(cls, files: Mapping[str, bytes], *, executable: Iterable[str] = ()) -> Self:
        """A layer with these files, owned by root; a name that ends in / is a folder."""
        run, buffer = set(executable), io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name.strip("/"))
                member.mode = 0o755 if name in run or name.endswith("/") else 0o644
                if name.endswith("/"):
                    member.type = tarfile.DIRTYPE
                else:
                    member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return cls.of_tar(buffer.getvalue())


@dataclass(frozen=True, slots=True)
class Image:
    """What is in a registry under one tag."""

    digest: str
    config: dict[str, Any]
    layers: tuple[dict[str, Any], ...]
    """Descriptors: digest and size of each layer as stored."""

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config.get("config", {}).get("Labels") or {})


class Pusher:
    """Writes to the registry at `address`; a context manager."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._http = httpx.Client(base_url=f"http://{address}/v2/", timeout=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def find(self, name: str, tag: str = "latest") -> Image | None:
        """The image under a tag, or None; an index is not one."""
        answer = self._http.get(f"{name}/manifests/{tag}", headers={"Accept": MANIFEST})
        if answer.status_code == 404:
            return None
        manifest = self._checked(answer).json()
        if "config" not in manifest:
            return None
        blob = self._http.get(f"{name}/blobs/{manifest['config']['digest']}")
        return Image(
            answer.headers["Docker-Content-Digest"],
            self._checked(blob).json(),
            tuple(manifest["layers"]),
        )

    def push(
        self,
        name: str,
        tag: str,
        layers: Sequence[Layer],
        *,
        base: tuple[str, Image] | None = None,
        run: Mapping[str, Any] | None = None,
        architecture: str = "amd64",
    ) -> str:
        """Push an image and return its digest.

        `base` is another repository and its image, whose layers come first; `run` is the
        config's `config` part: Cmd, Env, Labels, ExposedPorts and so on.
        """
        below = base[1] if base else None
        if base is not None:
            self._mount(name, base[0], base[1])
        for layer in layers:
            self._put_blob(name, layer.content, layer.digest)
        config = {
            "architecture": architecture,
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {**(below.config["config"] if below else {}), **(run or {})},
            "rootfs": {
                "type": "layers",
                "diff_ids": [
                    *(below.config["rootfs"]["diff_ids"] if below else []),
                    *(layer.diff_id for layer in layers),
                ],
            },
        }
        blob = json.dumps(config, sort_keys=True).encode()
        self._put_blob(name, blob, digest_of(blob))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, blob),
            "layers": [
                *(below.layers if below else ()),
                *(_descriptor(LAYER, layer.content) for layer in layers),
            ],
        }
        return self._put_manifest(name, tag, manifest, MANIFEST)

    def push_index(self, name: str, tag: str, platforms: Mapping[str, str]) -> str:
        """Push an index over manifests that are there: architecture -> digest."""
        rows = []
        for architecture, digest in platforms.items():
            answer = self._http.get(f"{name}/manifests/{digest}", headers={"Accept": MANIFEST})
            row = _descriptor(MANIFEST, self._checked(answer).content)
            rows.append({**row, "platform": {"architecture": architecture, "os": "linux"}})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": rows}
        return self._put_manifest(name, tag, index, INDEX)

    def delete(self, name: str, digest: str) -> None:
        """Take a manifest away, with all its tags."""
        self._checked(self._http.delete(f"{name}/manifests/{digest}"))

    def _put_manifest(self, name: str, tag: str, manifest: dict[str, Any], kind: str) -> str:
        answer = self._http.put(
            f"{name}/manifests/{tag}",
            content=json.dumps(manifest).encode(),
            headers={"Content-Type": kind},
        )
        return str(self._checked(answer).headers["Docker-Content-Digest"])

    def _mount(self, name: str, source: str, image: Image) -> None:
        """Let layers of another repository count as this one's, without sending them again."""
        for layer in image.layers:
            query = {"mount": layer["digest"], "from": source}
            answer = self._checked(self._http.post(f"{name}/blobs/uploads/", params=query))
            if answer.status_code != 201:
                raise LabError(f"The registry {self.address} did not take a layer of {source}.")

    def _put_blob(self, name: str, content: bytes, digest: str) -> None:
        if self._http.head(f"{name}/blobs/{digest}").status_code == 200:
            return
        begun = self._checked(self._http.post(f"{name}/blobs/uploads/"))
        place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
        self._checked(self._http.put(place, content=content))

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        """Raises LabError for what the registry refused."""
        if answer.is_error:
            raise LabError(
                f"The registry {self.address} answered {answer.request.method} "
                f"{answer.request.url.path} with {answer.status_code}: {answer.text[:300]}"
            )
        return answer


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(content), "digest": digest_of(content)}
