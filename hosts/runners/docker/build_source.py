"""What an image is built from: a folder or a Git repository, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from hosts.runners.base import InstallFailed

DOCKERFILE = "Dockerfile"
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class GitSource:
    """A repository and what of it: a branch, a tag or a commit; its default branch if empty."""

    url: str
    """`https://...`, `ssh://...`, `git://...` or `git@host:owner/name`."""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class BuildSource:
    """All that decides what a build gives. Paths are written with `/`."""

    root: Path | GitSource
    """A folder of this machine, or a repository."""
    sub_folder: str = ""
    """The build's context, below the root; empty is the root itself."""
    dockerfile: str = DOCKERFILE
    """Seen from the context. May lie outside of it (`../docker/Dockerfile`), but below the root."""
    build_args: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    platform: str = ""
    """`linux/arm64`; empty takes the host's."""
    stage: str = ""
    """Stop at this stage of the Dockerfile; empty builds the last."""
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    network: str = ""
    """What RUN steps are connected to, such as `host`; empty takes Docker's default."""
    is_fresh: bool = False
    """Use no cache, neither abm's nor Docker's."""
    renews_base: bool = False
    """Ask the registry for a newer base image also where one is on the host."""


def folder_below(root: Path, sub_folder: str) -> Path:
    """The folder `sub_folder` of `root`, links followed. Raises InstallFailed if it is none."""
    found = _below(root, root, sub_folder or ".", what="The sub-folder")
    if not found.is_dir():
        raise InstallFailed(
            f"There is no folder {sub_folder or root.name} to build from. Check the sub-folder; it "
            "is seen from the top of the repository or folder."
        )
    return found


def dockerfile_of(root: Path, context: Path, dockerfile: str) -> Path:
    """The Dockerfile, links followed. Raises InstallFailed if it is not there."""
    found = _below(root, context, dockerfile or DOCKERFILE, what="The Dockerfile")
    if not found.is_file():
        raise InstallFailed(
            f"There is no file {dockerfile}. Check the path of the Dockerfile; it is seen from "
            "the folder that is the build's context."
        )
    return found


def _below(root: Path, start: Path, path: str, *, what: str) -> Path:
    outside = InstallFailed(
        f"{what} {path} leads out of what is built. Choose one below its top folder."
    )
    if "\0" in path or PurePosixPath(path).is_absolute():
        raise outside
    try:
        top, found = root.resolve(), (start / path).resolve()
    except (OSError, RuntimeError) as error:  # a link to itself
        raise outside from error
    if found != top and top not in found.parents:
        raise outside
    return found
