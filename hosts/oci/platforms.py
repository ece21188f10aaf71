"""Kinds of machine that an image is made for, such as `linux/arm64/v8`, and which one fits.

Names and order of preference: github.com/containerd/platforms (`normalize`, `Only`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_SAME_MACHINE = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
}
_MEANT = {"arm": "v7", "arm64": "v8", "amd64": "v1"}
"""The variant that is meant where none is named."""
_RUNS_OLDER = frozenset({"arm", "amd64", "arm64"})
"""Where a machine of a variant runs images of the lower ones too."""


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system, an architecture and perhaps a variant of it, in the registry's words."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def of(cls, os: str, machine: str, variant: str = "") -> Self:
        """From any spelling: `x86_64` and `amd64` are one, and so are `arm64` and `arm64/v8`."""
        system = os.strip().lower() or "linux"
        architecture = machine.strip().lower()
        architecture, implied = _SAME_MACHINE.get(architecture, (architecture, ""))
        chosen = variant.strip().lower() or implied
        if chosen and not chosen.startswith("v") and chosen[0].isdigit():
            chosen = f"v{chosen}"
        if architecture == "arm":
            chosen = chosen or "v7"
        elif chosen == _MEANT.get(architecture):
            chosen = ""
        return cls(system, architecture, chosen)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `os/architecture` or `os/architecture/variant`. Raises ValueError."""
        parts = text.split("/")
        if len(parts) not in {2, 3} or not all(parts):
            raise ValueError(f"{text[:60]} is not a platform; one looks like linux/amd64.")
        return cls.of(*parts)

    @property
    def is_known(self) -> bool:
        """False for what builders file next to images: signatures and proofs of origin."""
        return "unknown" not in {self.os, self.architecture} and bool(self.architecture)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def suitability(offered: Platform, wanted: Platform) -> int | None:
    """How well an image for `offered` runs on `wanted` without emulation: more is better.

    None if it does not.
    """
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return None
    have, need = _level(offered), _level(wanted)
    if have is None or need is None:
        return 0 if offered.variant == wanted.variant else None
    if have == need:
        return have
    return have if have < need and wanted.architecture in _RUNS_OLDER else None


def best(offered: Iterable[Platform], wanted: Platform) -> Platform | None:
    """The one that suits `wanted` best; None if none does."""
    suiting = [
        (how_well, one)
        for one in offered
        if one.is_known and (how_well := suitability(one, wanted)) is not None
    ]
    return max(suiting, key=lambda pair: pair[0])[1] if suiting else None


def _level(platform: Platform) -> int | None:
    """The number in the variant, the usual one where none is named."""
    text = (platform.variant or _MEANT.get(platform.architecture, "v0")).removeprefix("v")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else None
