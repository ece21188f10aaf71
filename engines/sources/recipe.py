"""How an image is built: kept on its job and on its catalog entry, as values that JSON has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from catalog.models import Variant
from hosts.oci.reference import ImageReference
from hosts.runners.docker.build_source import DOCKERFILE, BuildSource, GitSource

LOCAL = "localhost"
"""The registry in names of images that are in none; nobody is ever asked about them."""
COPIED = re.compile(r"^[ \t]*(?:COPY|ADD)[ \t]+(?P<words>[^\n]+)$", re.IGNORECASE | re.MULTILINE)
DOCKERFILE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a person chose for a build: a folder of this machine, or a Git repository."""

    folder: str = ""
    url: str = ""
    ref: str = ""
    """Branch, tag or commit; empty takes the repository's default branch."""
    sub_folder: str = ""
    """The build's context, below the folder or repository."""
    dockerfile: str = DOCKERFILE
    """Seen from the context."""
    build_args: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    network: str = ""
    is_fresh: bool = False
    """Use no cache."""
    name: str = ""
    """What its catalog entry is called; empty takes the engine's own name."""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Self:
        """From what `row` gave."""
        return cls(**row)

    @property
    def row(self) -> dict[str, Any]:
        return {**asdict(self), "build_args": dict(self.build_args)}

    @property
    def git(self) -> GitSource | None:
        """The repository, if it is built from one."""
        return GitSource(self.url, self.ref) if self.url else None

    @property
    def words(self) -> str:
        """Where it is built from, for people."""
        if self.url:
            return f"{self.url} at {self.ref}" if self.ref else self.url
        return self.folder

    def source(self, root: Path, *, platform: str = "") -> BuildSource:
        """What the builder gets; `root` is the folder, or the files of the repository."""
        return BuildSource(
            root,
            sub_folder=self.sub_folder,
            dockerfile=self.dockerfile,
            build_args=self.build_args,
            platform=platform or self.platform,
            network=self.network,
            is_fresh=self.is_fresh,
        )


def recipe_of(variant: Variant) -> Recipe | None:
    """How `variant` is built on a Docker host; None for one that is pulled or cannot be built."""
    entry = variant.entry
    kept = (entry.extra.get("recipes") or {}).get(variant.tag)
    if kept:
        return replace(Recipe.read(kept), is_fresh=False)
    if variant.image or not entry.folder:
        return None
    return recipe_of_folder(Path(entry.folder))


def recipe_of_folder(folder: Path) -> Recipe | None:
    """How an engine's folder is built; None if it has no Dockerfile.

    Its context is the folder itself, or the one two above where the Dockerfile copies files that
    only are there: engines of one repository share what lies beside them.
    """
    file = folder / DOCKERFILE
    try:
        with file.open("rb") as opened:
            text = opened.read(DOCKERFILE_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    root = folder.parent.parent
    if all(_is_there(folder, path) for path in _copied(text)):
        return Recipe(folder=str(folder))
    return Recipe(folder=str(root), dockerfile=file.relative_to(root).as_posix())


def image_of(variant: Variant) -> str:
    """The image that an engine of `variant` runs on a Docker host, without the tag."""
    return variant.image or local_name(variant.entry.name)


def local_name(name: str) -> str:
    """What the image of the engine `name` is called while it is in no registry."""
    return f"{LOCAL}/abm/{name}"


def is_local(image: str) -> bool:
    """Whether an image, by name, can be in no registry."""
    return image.startswith(f"{LOCAL}/")


def place_of(variant: Variant) -> str:
    """The one host, by its `host_id`, that has the image of `variant`; empty where any may."""
    return str((variant.entry.extra.get("made_on") or {}).get(variant.tag) or "")


def reference_of_variant(variant: Variant) -> ImageReference:
    """Raises BadReference."""
    return ImageReference.parse(f"{image_of(variant)}:{variant.tag}")


def _copied(text: str) -> Iterator[str]:
    """What a Dockerfile copies from its context, as far as it can be read without building."""
    for found in COPIED.finditer(text):
        words = found["words"].split()
        if any(word.startswith("--from=") for word in words) or "[" in words[0]:
            continue
        yield from [word for word in words if not word.startswith("--")][:-1]


def _is_there(folder: Path, path: str) -> bool:
    if "$" in path or "://" in path:
        return True
    if any(sign in path for sign in "*?["):
        return any(folder.glob(path.removeprefix("/")))
    return (folder / path.removeprefix("/")).exists()
