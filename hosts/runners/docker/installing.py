"""Installing an engine on a Docker host: what the image is, whether it fits, its pull."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker
import humanize

from hosts.oci.auth import Credentials
from hosts.oci.digests import own_digests
from hosts.oci.errors import PlatformMissing, RegistryError
from hosts.oci.platforms import Platform, best
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from hosts.oci.sizes import ImageSizes, find_sizes
from hosts.runners.base import EngineSpec, ImageNotFound, InstallFailed, Progress
from hosts.runners.docker.errors import mapped
from hosts.runners.docker.facts import DockerFacts
from hosts.runners.docker.images import (
    inspect_image,
    platform_of,
    reference_of,
    remove_image,
)
from hosts.runners.docker.labels import container_of
from hosts.runners.docker.local_layers import cached_layers
from hosts.runners.docker.pull import pull
from jobs.outcome import CancelToken

SIZES_SECONDS = 6.0
"""How long a registry may take to tell sizes; the pull goes on without them."""
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Installer:
    """Brings images to one daemon."""

    client: docker.APIClient
    facts: DockerFacts
    host_name: str
    credentials: Callable[[str], Credentials | None]
    """The stored login of a registry, by its name."""

    def install(self, spec: EngineSpec, cancel: CancelToken) -> Iterator[Progress]:
        """Pull the image and see that it runs here; an image that was built here stays as it is.

        Raises RunnerError and Cancelled.
        """
        reference = reference_of(spec)
        yield Progress("resolve", line=f"{reference} for {self.facts.system}/{self.facts.machine}")
        with mapped(self.host_name, otherwise=InstallFailed):
            here = inspect_image(self.client, reference.canonical)
        if here is not None and not own_digests(reference, here.get("RepoDigests") or ()):
            yield Progress("check", line="It was built or loaded here; there is nothing to pull.")
            yield from self._verified(spec, here, was_here=True)
            return
        login = self.credentials(reference.registry)
        sizes = yield from self._sizes(spec, reference, login, cancel)
        with mapped(self.host_name, otherwise=InstallFailed):
            cached = cached_layers(self.client, sizes) if sizes else frozenset()
        yield from pull(
            self.client,
            reference,
            cancel=cancel,
            platform=container_of(spec).platform,
            auth={"username": login.user, "password": login.password} if login else None,
            sizes=sizes,
            cached=cached,
            host_name=self.host_name,
            step="pull",
        )
        with mapped(self.host_name, otherwise=InstallFailed):
            pulled = inspect_image(self.client, reference.canonical)
        if pulled is None:
            raise InstallFailed(
                f"{reference} was removed from {self.host_name} meanwhile. Try again."
            )
        yield from self._verified(spec, pulled, was_here=here is not None)

    def _sizes(
        self,
        spec: EngineSpec,
        reference: ImageReference,
        login: Credentials | None,
        cancel: CancelToken,
    ) -> Generator[Progress, None, ImageSizes | None]:
        """What the pull will bring; None where the registry does not tell abm.

        Docker may reach a registry that abm cannot, so only a missing platform ends the install.
        """
        yield Progress("check", line=f"Asking {reference.registry} for its layers.")
        question = _Question(reference, self._wanted(spec), login)
        question.start()
        until = time.monotonic() + SIZES_SECONDS
        while question.is_alive() and time.monotonic() < until:
            if cancel.wait(LOOK_SECONDS):
                cancel.check()
        cancel.check()
        sizes = question.sizes
        if sizes is not None:
            size = humanize.naturalsize(sizes.compressed)
            yield Progress(
                "check", line=f"{len(sizes.layers)} layers, {size} compressed.", fraction=1.0
            )
            return sizes
        error = question.error
        if isinstance(error, PlatformMissing) and not self._may_be_emulated(spec):
            raise ImageNotFound(error.message, detail=error.detail) from error
        said = error.message if error else f"{reference.registry} did not answer in time."
        yield Progress("check", line=f"Sizes are not known beforehand. {said}", fraction=1.0)
        return None

    def _wanted(self, spec: EngineSpec) -> Platform:
        named = container_of(spec).platform or f"{self.facts.system}/{self.facts.machine}"
        try:
            return Platform.parse(named)
        except ValueError as error:
            raise InstallFailed(str(error)) from error

    def _may_be_emulated(self, spec: EngineSpec) -> bool:
        """Without a platform named, Docker takes an image of another one if it is the only one."""
        is_named = bool(container_of(spec).platform)
        return not is_named and (self.facts.emulated is None or bool(self.facts.emulated))

    def _verified(
        self, spec: EngineSpec, image: Mapping[str, Any], *, was_here: bool
    ) -> Iterator[Progress]:
        """See that the image runs on this kind of machine; one that does not is not left behind."""
        made_for, host = platform_of(image), f"{self.facts.system}/{self.facts.machine}"
        words = "Ready."
        if not _suits(made_for, host):
            if made_for in (self.facts.emulated or ()):
                words = f"Ready. It is made for {made_for} and runs by emulation, which is slow."
            elif self.facts.emulated is None or container_of(spec).platform:
                words = f"Ready, but it is made for {made_for} and may not run on {host}."
            else:
                if not was_here:
                    with mapped(self.host_name):
                        remove_image(self.client, spec)
                raise ImageNotFound(
                    f"{container_of(spec).image} is made for {made_for}, and {self.host_name} is "
                    f"{host} without emulation. Choose another variant, or install emulation there."
                )
        yield Progress("ready", line=words, fraction=1.0)


class _Question(threading.Thread):
    """Asks a registry for an image's layers; left to itself when nobody waits any longer."""

    def __init__(
        self, reference: ImageReference, platform: Platform, login: Credentials | None
    ) -> None:
        super().__init__(name=f"sizes of {reference}", daemon=True)
        self._reference, self._platform, self._login = reference, platform, login
        self.sizes: ImageSizes | None = None
        self.error: RegistryError | None = None

    def run(self) -> None:
        try:
            with Registry(self._reference.registry, credentials=self._login) as registry:
                self.sizes = find_sizes(registry, self._reference, self._platform)
        except RegistryError as error:
            self.error = error


def _suits(made_for: str, host: str) -> bool:
    try:
        return best([Platform.parse(made_for)], Platform.parse(host)) is not None
    except ValueError:
        return True  # an image that does not say what it is for
