"""How large an image is and for which machines it is made, before a byte of it is pulled.

No manifest says how large a layer is on disk. A gzip file ends with that number, modulo 4 GiB
(RFC 1952, ISIZE), so four bytes of each layer tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from hosts.oci.errors import PlatformMissing, RegistryBroken, RegistryError, Subject
from hosts.oci.manifests import Index, Layer, Manifest
from hosts.oci.platforms import Platform, best
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry

AT_ONCE = 4
WRAP = 2**32
WRAPS_FROM = 2**28
"""Only a layer this large, packed, is believed to hold more than 4 GiB."""
ADDED_BY_GZIP = 1.01
GZIP_FRAME = 1024


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """What a pull of an image for one kind of machine would bring; sizes are bytes."""

    reference: ImageReference
    digest: str
    """Of the manifest for this platform, never of an index."""
    platform: Platform
    layers: tuple[Layer, ...]
    config_digest: str
    diff_ids: tuple[str, ...]
    """Names of the unpacked layers, in the order of `layers`; empty if they are not told."""

    @property
    def compressed(self) -> int:
        """Bytes that travel; a layer that is used twice travels once."""
        return sum({layer.digest: layer.size for layer in self.layers}.values())

    @property
    def unpacked(self) -> int | None:
        """Bytes on disk; None as long as a layer's is not known (see `with_unpacked`)."""
        sizes = {layer.digest: layer.unpacked for layer in self.layers}.values()
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None


def find_platforms(registry: Registry, reference: ImageReference) -> tuple[Platform, ...]:
    """The kinds of machine that the image is made for, in its own order. Raises RegistryError."""
    document = registry.document(reference)
    if isinstance(document, Index):
        named = (child.platform for child in document.children if child.platform is not None)
        return tuple(dict.fromkeys(named))
    return (registry.configuration(reference, document.config.digest).platform,)


def find_sizes(registry: Registry, reference: ImageReference, platform: Platform) -> ImageSizes:
    """Layers and sizes for this kind of machine.

    Raises PlatformMissing if it is not made for it, or another RegistryError.
    """
    document = registry.document(reference)
    chosen: Platform | None = None
    if isinstance(document, Index):
        offered = [child.platform for child in document.children if child.platform is not None]
        chosen = best(offered, platform)
        child = next((one for one in document.children if one.platform == chosen), None)
        if chosen is None or child is None:
            raise _missing(reference, platform, offered)
        document = registry.document(reference.at(child.digest))
    if not isinstance(document, Manifest):
        raise RegistryBroken(
            f"{reference.registry} files one index of {reference.repository} inside another, "
            "which Docker does not pull. Ask its maker to publish it again.",
            about=Subject.of(reference),
        )
    configuration = registry.configuration(reference, document.config.digest)
    # What an index says of a child counts, as it does for Docker: some children say otherwise.
    if chosen is None and best([configuration.platform], platform) is None:
        raise _missing(reference, platform, [configuration.platform])
    ids = configuration.diff_ids
    return ImageSizes(
        reference,
        document.digest,
        chosen or configuration.platform,
        document.layers,
        document.config.digest,
        ids if len(ids) == len(document.layers) else (),
    )


def with_unpacked(registry: Registry, sizes: ImageSizes) -> ImageSizes:
    """The same with the bytes that each layer takes on disk, where its last bytes tell them.

    A request for each layer. What cannot be found out stays None: this never raises.
    """

    def measured(layer: Layer) -> Layer:
        return replace(layer, unpacked=_unpacked(registry, sizes.reference, layer))

    distinct = {layer.digest: layer for layer in sizes.layers}
    with ThreadPoolExecutor(AT_ONCE, "layer-sizes") as pool:
        known = {layer.digest: layer for layer in pool.map(measured, distinct.values())}
    return replace(sizes, layers=tuple(known[layer.digest] for layer in sizes.layers))


def _unpacked(registry: Registry, reference: ImageReference, layer: Layer) -> int | None:
    if layer.media_type.endswith(".tar"):
        return layer.size
    if not layer.media_type.endswith(("gzip", "gz")) or layer.is_elsewhere:
        return None
    try:
        end = registry.tail(reference, layer.digest, count=4)
    except RegistryError:
        return None
    return None if end is None else whole_size(int.from_bytes(end, "little"), layer.size)


def whole_size(told: int, packed: int) -> int | None:
    """The size of a gzip file's content from what its last bytes tell, which is modulo 4 GiB.

    For a large layer the smallest that is possible; None where it cannot be true, as in a file
    of several members.
    """
    smallest = (packed - GZIP_FRAME) / ADDED_BY_GZIP
    if told >= smallest:
        return told
    if packed < WRAPS_FROM:
        return None
    while told < smallest:
        told += WRAP
    return told


def _missing(
    reference: ImageReference, platform: Platform, offered: Iterable[Platform]
) -> PlatformMissing:
    names = ", ".join(dict.fromkeys(str(one) for one in offered)) or "no kind of machine"
    return PlatformMissing(
        f"{reference} is not made for {platform}, only for {names}. Choose another variant, or a "
        "host of that kind.",
        about=Subject.of(reference),
    )
