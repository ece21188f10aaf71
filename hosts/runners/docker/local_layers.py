"""Which layers of an image a host has before it pulls."""

from __future__ import annotations

from typing import Any

import docker
from docker.errors import ImageNotFound as NoSuchImage

from hosts.oci.sizes import ImageSizes
from hosts.runners.docker.layer import short_id

MOST_IMAGES = 300
"""Each is asked for, at about a millisecond."""


def cached_layers(client: docker.APIClient, sizes: ImageSizes) -> frozenset[str]:
    """Short ids of the layers that need no download, as far as that can be foretold.

    They are those that some image on the host begins with as well: Docker's store knows a layer
    by all that lie below it. Raises what docker-py raises (`errors.mapped`).
    """
    most = 0
    for image in client.images(all=True)[:MOST_IMAGES]:
        most = max(most, _shared(sizes.diff_ids, _layers_of(client, str(image["Id"]))))
    return frozenset(short_id(layer.digest) for layer in sizes.layers[:most])


def _layers_of(client: docker.APIClient, image: str) -> list[str]:
    try:
        found: dict[str, Any] = client.inspect_image(image)  # type: ignore[no-untyped-call]
    except NoSuchImage:  # removed since it was listed
        return []
    return list((found.get("RootFS") or {}).get("Layers") or ())


def _shared(wanted: tuple[str, ...], there: list[str]) -> int:
    """How many layers both begin with."""
    count = 0
    for one, other in zip(wanted, there, strict=False):
        if one != other:
            break
        count += 1
    return count
