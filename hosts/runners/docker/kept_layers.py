"""Keeping what a pull has finished, so that another try goes on from there.

Docker's own stores (overlay2 and its like) let go of all layers of a pull that ends early, also of
those that were unpacked: measured with 20.10, nothing was left. A layer stays as long as an image
has it. So while a pull runs, an image of abm's own is made of the layers finished so far, by
`POST /images/load` of an archive that leaves the layers' files out: Docker asks for the file of a
layer only when it lacks the layer (moby, image/tarexport/load.go). The next pull is then told
"Already exists". The containerd store keeps finished layers by itself and refuses such an archive.

These images have no name and the label `abm.partial`; they go when the pull succeeds.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import docker

from hosts.oci.reference import ImageReference
from hosts.oci.sizes import ImageSizes
from hosts.runners.docker.errors import FOREIGN
from hosts.runners.docker.layer import short_id

LABEL = "abm.partial"
EVERY_SECONDS = 3.0
"""A load takes some hundredths of a second; a quick pull needs none."""

SETTLE_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PartialImage:
    """Finished layers of an image that is not on the host."""

    id: str
    reference: str
    """The image that was being pulled."""
    size: int
    """Bytes unpacked, shared with other images where those have the same layers."""


class LayerKeeper:
    """Keeps the finished layers of one pull, in a thread so that the pull is not held up."""

    def __init__(
        self, client: docker.APIClient, reference: ImageReference, sizes: ImageSizes, *, at: float
    ) -> None:
        self._client = client
        self._reference = reference
        self._sizes = sizes
        self._is_possible = bool(sizes.diff_ids)
        self._kept = 0
        self._kept_at = at
        self._working: threading.Thread | None = None

    def keep(self, finished: Collection[str], *, at: float) -> bool:
        """Keep the `finished` layers (short ids) where that is worth it; True for the first time.

        Only an unbroken row from the lowest layer on can be kept, as Docker's store knows a layer
        by all that lie below it.
        """
        if not self._is_possible or at - self._kept_at < EVERY_SECONDS or self._is_working:
            return False
        count = 0
        for layer in self._sizes.layers:
            if short_id(layer.digest) not in finished:
                break
            count += 1
        if count <= self._kept:
            return False
        is_first, self._kept, self._kept_at = not self._kept, count, at
        self._working = threading.Thread(target=self._load, args=(count,), daemon=True)
        self._working.start()
        return is_first

    def forget(self) -> None:
        """Let go of what was kept for this image, by this pull or one before. Never raises."""
        if not self._sizes.diff_ids:
            return
        self.settle()
        try:
            for partial in partial_images(self._client, self._reference):
                self._remove(partial.id)
        except FOREIGN as error:
            log.warning("Kept layers of %s could not be removed: %s", self._reference, error)

    def settle(self) -> None:
        """Wait a moment for what is under way."""
        if self._working is not None:
            self._working.join(SETTLE_SECONDS)

    @property
    def _is_working(self) -> bool:
        return self._working is not None and self._working.is_alive()

    def _load(self, count: int) -> None:
        made, archive = _archive(self._reference, self._sizes, count)
        try:
            said = list(self._client.load_image(archive))  # type: ignore[no-untyped-call]
            failed = [line for line in said if "error" in line]
            if failed:
                self._is_possible = False
                log.info("This Docker keeps no layers for abm: %s", failed[0]["error"])
                return
            for partial in partial_images(self._client, self._reference):
                if partial.id != made:
                    self._remove(partial.id)
        except FOREIGN as error:
            self._is_possible = False
            log.info("Finished layers of %s are not kept: %s", self._reference, error)

    def _remove(self, image: str) -> None:
        self._client.remove_image(image)


def partial_images(
    client: docker.APIClient, reference: ImageReference | None = None
) -> list[PartialImage]:
    """What is kept of pulls that did not end, of one image or of all.

    Raises what docker-py raises (`errors.mapped`).
    """
    label = f"{LABEL}={reference.canonical}" if reference else LABEL
    found = client.images(all=True, filters={"label": label})
    return [
        PartialImage(str(image["Id"]), str(image["Labels"][LABEL]), int(image["Size"]))
        for image in found
    ]


def _archive(reference: ImageReference, sizes: ImageSizes, count: int) -> tuple[str, bytes]:
    """The id of an image of the lowest layers, and its `docker save` without their files."""
    platform = sizes.platform
    configuration: dict[str, Any] = {
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {"Labels": {LABEL: reference.canonical}},
        "rootfs": {"type": "layers", "diff_ids": list(sizes.diff_ids[:count])},
        "history": [{"created_by": "abm"}] * count,
    }
    if platform.variant:
        configuration["variant"] = platform.variant
    written = json.dumps(configuration).encode()
    digest = hashlib.sha256(written).hexdigest()
    name = f"{digest}.json"
    layers = [f"{number}/layer.tar" for number in range(count)]
    manifest = [{"Config": name, "RepoTags": None, "Layers": layers}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file, content in ((name, written), ("manifest.json", json.dumps(manifest).encode())):
            member = tarfile.TarInfo(file)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return f"sha256:{digest}", buffer.getvalue()
