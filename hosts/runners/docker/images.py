"""The image of an engine on its host: whether it is there, its size, and giving its bytes back."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import APIError
from docker.errors import ImageNotFound as NoSuchImage

from hosts.oci.reference import BadReference, ImageReference
from hosts.runners.base import EngineSpec, ImageNotFound, ImageState
from hosts.runners.docker.card_helper import end_card_helpers
from hosts.runners.docker.errors import FOREIGN
from hosts.runners.docker.labels import CARDS, container_of

log = logging.getLogger(__name__)


def reference_of(spec: EngineSpec) -> ImageReference:
    """The image's name. Raises ImageNotFound for one that cannot be."""
    try:
        return ImageReference.parse(container_of(spec).image)
    except BadReference as error:
        raise ImageNotFound(str(error)) from error


def find_image(client: docker.APIClient, spec: EngineSpec) -> dict[str, Any] | None:
    """The image that a start would run, as the daemon describes it; None if it is not there."""
    container = container_of(spec)
    return inspect_image(client, container.image_id or reference_of(spec).canonical)


def inspect_image(client: docker.APIClient, name: str) -> dict[str, Any] | None:
    """What the daemon says of an image, by name or id. Raises what docker-py raises."""
    try:
        return dict(client.inspect_image(name))  # type: ignore[no-untyped-call]
    except NoSuchImage:
        return None


def name_to_run(spec: EngineSpec, image: Mapping[str, Any]) -> str:
    """What to make a container of: the name while it stands for this image, as people read it."""
    name = reference_of(spec).familiar
    return name if name in (image.get("RepoTags") or ()) else str(image["Id"])


def platform_of(image: Mapping[str, Any]) -> str:
    """`linux/arm64/v8`, as far as the image says."""
    parts = (image.get("Os"), image.get("Architecture"), image.get("Variant"))
    return "/".join(str(part) for part in parts if part)


def is_made_here(image: Mapping[str, Any]) -> bool:
    """It was built or loaded on the host and never came from a registry."""
    return not image.get("RepoDigests")


def state_of(image: Mapping[str, Any]) -> ImageState:
    """An inspected image as the rest of abm knows it."""
    return ImageState(
        str(image["Id"]),
        () if is_made_here(image) else tuple(image["RepoDigests"]),
        platform_of(image),
    )


def remove_image(client: docker.APIClient, spec: EngineSpec) -> int:
    """Remove the engine's image unless a container uses it; the bytes that came free.

    Raises what docker-py raises.
    """
    freed = 0
    reference, container = reference_of(spec), container_of(spec)
    for name in dict.fromkeys((reference.canonical, container.image_id)):
        image = inspect_image(client, name) if name else None
        if image is None or _is_used(client, str(image["Id"]), but_by=container.deployment):
            continue
        end_card_helpers(client, container.deployment, image=str(image["Id"]))
        own = _own_bytes(client, image)
        with contextlib.suppress(NoSuchImage):
            freed += own if _remove(client, name) else 0
    return freed


def _remove(client: docker.APIClient, name: str) -> bool:
    """Whether the image itself went, and not just one of its names."""
    try:
        answer = client.remove_image(name)
    except APIError as error:
        if error.status_code == 409:  # it has other names, or a container came meanwhile
            log.info("The image %s is kept: %s", name, error.explanation)
            return False
        raise
    return any("Deleted" in line for line in answer or ())


def _is_used(client: docker.APIClient, image: str, *, but_by: str) -> bool:
    """By anything but this abm's own reader of cards, which is made of another one then."""
    return any(
        row.get("ImageID") == image and (row.get("Labels") or {}).get(CARDS) != but_by
        for row in client.containers(all=True)
    )


def _own_bytes(client: docker.APIClient, image: Mapping[str, Any]) -> int:
    """What the image takes alone; layers that others have as well would stay.

    Only `/system/df` knows. Where it is not told, all of the image is taken for its own.
    """
    size = int(image.get("Size") or 0)
    try:
        said = client.df()
    except FOREIGN as error:
        log.info("Shared layers are not known: %s", error)
        return size
    for row in said.get("Images") or ():
        if row.get("Id") == image.get("Id") and int(row.get("SharedSize", -1)) >= 0:
            return max(int(row["Size"]) - int(row["SharedSize"]), 0)
    return size
