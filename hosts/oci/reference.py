"""What an image is called: `ghcr.io/owner/name:tag@sha256:...`, read as Docker reads it.

Grammar: github.com/distribution/reference; the shortening of docker.io names is that of its
`normalize.go`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"
LONGEST_NAME = 255
SHOWN = 120

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_REGISTRY = re.compile(rf"{_HOST}(?::[0-9]+)?", re.ASCII)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}", re.ASCII)
_IMAGE_ID = re.compile(r"[a-f0-9]{64}", re.ASCII)


class BadReference(ValueError):
    """This is no image name; the message is a sentence that says what is wrong with it."""


@dataclass(frozen=True)
class ImageReference:
    """An image by name: where it lives, what it is called, and which of its versions is meant.

    `tag` and `digest` may be empty, but never both. Without either, `latest` is meant.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a person or a catalog wrote. Raises BadReference."""
        if not text:
            raise BadReference("The image name is empty.")
        if _IMAGE_ID.fullmatch(text):
            raise BadReference(
                f"{text[:12]}... is the id of an image, not a name. Name it as repository:tag."
            )
        rest, has_digest, digest = text.partition("@")
        if has_digest and not is_digest(digest):
            raise BadReference(
                f"The digest of {_shown(text)} is not valid: after the @ comes sha256: and 64 "
                "digits of 0-9 and a-f."
            )
        name, tag = _split_tag(rest)
        if tag is not None and not _TAG.fullmatch(tag):
            raise BadReference(
                f"The tag of {_shown(text)} is not valid: it has up to 128 letters, digits, "
                "points, hyphens and underscores, and begins with none of the first two signs."
            )
        registry, repository = _split_registry(name)
        _check_name(text, registry, repository)
        return cls(registry, repository, tag or ("" if digest else DEFAULT_TAG), digest)

    @property
    def name(self) -> str:
        """Registry and repository, without a version: what belongs together."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What the registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag

    @property
    def canonical(self) -> str:
        """The whole name, also where Docker would leave something out."""
        return f"{self.name}{self._suffix}"

    @cached_property
    def familiar(self) -> str:
        """The name as people write it: no docker.io, no library/ where that is understood."""
        return f"{self._familiar_name}{self._suffix}"

    def at(self, digest: str) -> Self:
        """The same image, but exactly this content of it. Raises BadReference."""
        if not is_digest(digest):
            raise BadReference(f"{_shown(digest)} is not the digest of an image.")
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        return self.familiar

    @property
    def _familiar_name(self) -> str:
        if self.registry != DOCKER_HUB:
            return self.name
        first, slash, rest = self.repository.partition("/")
        if first == "library" and slash and "/" not in rest and not _IMAGE_ID.fullmatch(rest):
            return rest
        # docker.io/some.host/x would be read as an image of some.host.
        return self.name if not slash or _names_registry(first) else self.repository

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def is_digest(text: str) -> bool:
    """Whether this is a whole digest, such as `sha256:` and 64 hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def _split_tag(text: str) -> tuple[str, str | None]:
    """Name and tag: a colon before the last slash belongs to a port."""
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return text, None
    return name, tag


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    registry = DOCKER_HUB
    if slash and _names_registry(first):
        registry, name = first, rest
    if registry == "index.docker.io":
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    return registry, name


def _names_registry(first: str) -> bool:
    """Whether the part before the first slash is a machine and not an owner."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _check_name(text: str, registry: str, repository: str) -> None:
    if not _REGISTRY.fullmatch(registry):
        raise BadReference(f"{_shown(registry)} in {_shown(text)} is not the name of a registry.")
    port = registry.rpartition("]")[2].partition(":")[2]
    if port and not 0 < int(port[:6]) < 65536:
        raise BadReference(f"{_shown(registry)} in {_shown(text)} has a port that cannot be.")
    if repository != repository.lower():
        raise BadReference(f"{_shown(text)} has capital letters; image names have small ones only.")
    if not _REPOSITORY.fullmatch(repository):
        raise BadReference(
            f"{_shown(text)} is not an image name: between the slashes stand small letters and "
            "digits, joined by a point, one or two underscores, or hyphens."
        )
    if len(registry) + 1 + len(repository) > LONGEST_NAME:
        raise BadReference(f"{_shown(text)} is too long; {LONGEST_NAME} characters are the most.")


def _shown(text: str) -> str:
    """What was written, short enough for a sentence and without surprises in it."""
    printable = "".join(sign if sign.isprintable() else "?" for sign in text[:SHOWN])
    return printable + ("..." if len(text) > SHOWN else "")
