"""What several images take together, when they share layers and no layer tells its size.

Docker knows a layer by all that lie below it (OCI image specification, ChainID), so that images
share how they begin. Of each image two sizes are told: of all its layers, and of those that it
shares with any other, which are its longest common beginning. From these follows what a set of
images takes, and what comes free when all of it goes: base layers that only they share as well,
which the daemon's own figures, one image at a time, never count.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayeredImage:
    """Sizes are bytes, unpacked."""

    id: str
    layers: tuple[str, ...]
    """Digests as in its configuration (`RootFS.Layers`), lowest first."""
    size: int
    shared: int
    """Of those, in layers that another image has as well."""

    @property
    def chain(self) -> tuple[str, ...]:
        """For each layer the name of it and all below."""
        names: list[str] = []
        for digest in self.layers:
            told = f"{names[-1]} {digest}" if names else ""
            names.append(f"sha256:{hashlib.sha256(told.encode()).hexdigest()}" if told else digest)
        return tuple(names)


def bytes_of(chosen: Collection[str], images: Iterable[LayeredImage]) -> int:
    """What comes free when all images of these ids go at once, at least.

    Exact but where two pairs of images or more branch off from a common beginning that is no image
    of its own: then that beginning is left out.
    """
    chains = {one: one.chain for one in images}
    stays = {name for one, chain in chains.items() if one.id not in chosen for name in chain}
    up_to = _known_sizes(chains)
    total = 0
    for one, chain in chains.items():
        if one.id in chosen:
            total += _size_from(chain, _begin_of_new(chain, stays), up_to, one.size)
            stays.update(chain)
    return total


def _known_sizes(chains: Mapping[LayeredImage, Sequence[str]]) -> dict[str, int]:
    """By the name of a layer, the size of it and all below, where some image tells it."""
    count = Counter(name for chain in chains.values() for name in chain)
    many = {name for name, times in count.items() if times > 1}
    known = {}
    for one, chain in chains.items():
        begin = _begin_of_new(chain, many)
        if begin:
            known[chain[begin - 1]] = one.shared
        if chain:
            known[chain[-1]] = one.size
    return known


def _begin_of_new(chain: Sequence[str], there: Collection[str]) -> int:
    """How many of the lowest layers are there already."""
    return next((count for count, name in enumerate(chain) if name not in there), len(chain))


def _size_from(chain: Sequence[str], begin: int, up_to: dict[str, int], size: int) -> int:
    """The size of the layers from `begin` on, or of fewer where nobody says where they begin."""
    if begin == 0:
        return size
    for name in chain[begin - 1 :]:
        if name in up_to:
            return max(size - up_to[name], 0)
    return 0
