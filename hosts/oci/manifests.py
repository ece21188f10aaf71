"""What a registry says of an image: manifests, indexes, configurations.

Formats: github.com/opencontainers/image-spec (manifest.md, image-index.md, config.md) and
docker's schema 2 (distribution.github.io/distribution/spec/manifest-v2-2).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from hosts.oci.errors import RegistryBroken, Subject, WrongDigest
from hosts.oci.platforms import Platform
from hosts.oci.reference import is_digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))
"""All four, always: a registry gives one tag another digest for each list it is sent."""
LARGEST_BLOB = 2**50
MOST_PARTS = 2000
_FOREIGN = ("foreign", "nondistributable")

Digest = Annotated[
    str, Field(pattern=r"^sha(256:[a-f0-9]{64}|384:[a-f0-9]{96}|512:[a-f0-9]{128})$")
]
Size = Annotated[int, Field(ge=0, le=LARGEST_BLOB, strict=True)]
Word = Annotated[str, Field(max_length=300)]


@dataclass(frozen=True, slots=True)
class Layer:
    """One part of an image as it travels: `size` is in bytes, compressed."""

    digest: str
    size: int
    media_type: str = ""
    unpacked: int | None = None
    """Bytes on disk, where that could be found out."""

    @property
    def is_elsewhere(self) -> bool:
        """True for a part that its maker does not let registries hand out."""
        return any(word in self.media_type for word in _FOREIGN)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one kind of machine."""

    digest: str
    media_type: str
    config: Layer
    layers: tuple[Layer, ...]
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Child:
    """One entry of an index: an image for one kind of machine."""

    digest: str
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """One name for several kinds of machine; signatures and the like are left out."""

    digest: str
    media_type: str
    children: tuple[Child, ...]
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an image says of itself: for which machine it is, and its layers unpacked."""

    platform: Platform
    diff_ids: tuple[str, ...]


class _PlatformJson(BaseModel):
    os: Word = ""
    architecture: Word = ""
    variant: Word = ""

    @property
    def platform(self) -> Platform:
        return Platform.of(self.os, self.architecture, self.variant)


class _DescriptorJson(BaseModel):
    digest: Digest
    size: Size
    mediaType: Word = ""
    platform: _PlatformJson | None = None

    @property
    def layer(self) -> Layer:
        return Layer(self.digest, self.size, self.mediaType)


class _IndexJson(BaseModel):
    manifests: Annotated[list[_DescriptorJson], Field(max_length=MOST_PARTS)]


class _ManifestJson(BaseModel):
    config: _DescriptorJson
    layers: Annotated[list[_DescriptorJson], Field(max_length=MOST_PARTS)]


class _KindJson(BaseModel):
    schemaVersion: int = 2
    mediaType: Word = ""
    manifests: Any = None


class _RootJson(BaseModel):
    diff_ids: Annotated[list[Digest], Field(max_length=MOST_PARTS)] = []


class _ConfigurationJson(_PlatformJson):
    rootfs: _RootJson = _RootJson()


Shape = TypeVar("Shape", bound=BaseModel)


def read_document(
    content: bytes, *, media_type: str, etag: str, about: Subject
) -> Manifest | Index:
    """Read what the manifest door gave; its digest is reckoned here. Raises RegistryBroken."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if is_digest(about.version) and not about.version.startswith("sha256:"):
        digest = content_digest(content, about.version)
    kind = _read(_KindJson, content, about)
    if kind.schemaVersion != 2:
        raise RegistryBroken(
            f"{about.registry} has {about.image} in an old format that Docker no longer pulls. "
            "Ask its maker to publish it again, or choose another version.",
            about=about,
        )
    stated = kind.mediaType or media_type
    if stated in INDEXES or (not kind.mediaType and kind.manifests is not None):
        index = _read(_IndexJson, content, about)
        children = tuple(_child(one) for one in index.manifests if _is_image(one))
        return Index(digest, stated, children, etag)
    manifest = _read(_ManifestJson, content, about)
    layers = tuple(one.layer for one in manifest.layers)
    return Manifest(digest, stated, manifest.config.layer, layers, etag)


def read_configuration(content: bytes, *, about: Subject) -> Configuration:
    """Read the configuration blob of an image. Raises RegistryBroken."""
    read = _read(_ConfigurationJson, content, about)
    return Configuration(read.platform, tuple(read.rootfs.diff_ids))


def content_digest(content: bytes, like: str) -> str:
    """The digest of this content by the algorithm of another digest."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def check_digest(content: bytes, expected: str, *, about: Subject) -> None:
    """Raise WrongDigest if this content is not the one that was named."""
    if is_digest(expected) and content_digest(content, expected) != expected:
        raise WrongDigest(
            f"{about.registry} sent something else than the content it names{about.purpose}. "
            "A proxy in between may change answers, or the registry's storage is damaged; "
            "nothing was used of it.",
            about=about,
            detail=f"{expected} was expected, {content_digest(content, expected)} came",
        )


def _read(shape: type[Shape], content: bytes, about: Subject) -> Shape:
    try:
        return shape.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise RegistryBroken(
            f"{about.registry} describes {about.image or 'the image'} in a way that abm cannot "
            "read. The image may be of another kind, or published wrongly; ask its maker.",
            about=about,
            detail=f"{place}: {first['msg']}".removeprefix(": ")[:300],
        ) from error


def _is_image(entry: _DescriptorJson) -> bool:
    return entry.platform is None or entry.platform.platform.is_known


def _child(entry: _DescriptorJson) -> Child:
    return Child(entry.digest, entry.platform.platform if entry.platform else None)
