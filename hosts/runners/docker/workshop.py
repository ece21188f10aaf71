"""Images of one Docker host beside what is installed: built, loaded, saved, pushed, asked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

from hosts.oci.auth import Credentials
from hosts.oci.reference import ImageReference
from hosts.runners.container import ImageState
from hosts.runners.docker.archive_loading import LoadedImage, load
from hosts.runners.docker.archive_saving import SavedArchive, save
from hosts.runners.docker.build import BuiltImage, build
from hosts.runners.docker.build_source import BuildSource
from hosts.runners.docker.containers import DockerHost
from hosts.runners.docker.discover import DiscoveredImage, discover
from hosts.runners.docker.errors import mapped
from hosts.runners.docker.images import inspect_image, state_of
from hosts.runners.docker.push import PushedImage, push
from hosts.runners.progress import Progress
from jobs.outcome import CancelToken


class DockerWorkshop:
    """Every method but `find` tells its progress and returns what came of it.

    All may raise RunnerError, and Cancelled moments after `cancel`.
    """

    def __init__(self, host: DockerHost, credentials: Callable[[str], Credentials | None]) -> None:
        self._host = host
        self._client = host.client
        self._credentials = credentials

    def find(self, image: ImageReference) -> ImageState | None:
        """An image of the host; None if it is not there."""
        with mapped(self._host.name):
            found = inspect_image(self._client, image.canonical)
        return state_of(found) if found else None

    def build(
        self,
        source: BuildSource,
        tag: ImageReference,
        *,
        cancel: CancelToken,
        workspace: Path,
        registries: Iterable[str] = (),
    ) -> Generator[Progress, None, BuiltImage]:
        """Build an image and call it `tag`; `registries` are those that a login is stored for."""
        logins = {registry: self._login(registry) for registry in registries}
        return build(
            self._client,
            source,
            tag,
            cancel=cancel,
            workspace=workspace,
            logins={registry: login for registry, login in logins.items() if login},
            host_name=self._host.name,
        )

    def push(
        self, image: str, reference: ImageReference, *, cancel: CancelToken
    ) -> Generator[Progress, None, PushedImage]:
        """Give `image` another name and push it, with the login that is stored for its registry."""
        login = self._login(reference.registry)
        name = self._host.name
        return push(self._client, image, reference, cancel=cancel, auth=login, host_name=name)

    def load(
        self, path: Path, *, cancel: CancelToken, most_bytes: int
    ) -> Generator[Progress, None, tuple[LoadedImage, ...]]:
        """Load the images of a file of this machine."""
        name = self._host.name
        return load(self._client, path, cancel=cancel, most_bytes=most_bytes, host_name=name)

    def save(
        self, image: ImageReference, path: Path, *, cancel: CancelToken
    ) -> Generator[Progress, None, SavedArchive]:
        """Write an image to a file of this machine."""
        return save(self._client, image, path, cancel=cancel, host_name=self._host.name)

    def discover(
        self, image: ImageReference, *, deployment: str, cancel: CancelToken, **how: Any
    ) -> Generator[Progress, None, DiscoveredImage]:
        """Start an image once and ask it what it is; `how` as `discover` itself takes it."""
        return discover(
            self._client,
            image,
            deployment=deployment,
            cancel=cancel,
            engine_host=self._host.engine_host,
            host_name=self._host.name,
            **how,
        )

    def _login(self, registry: str) -> Mapping[str, str] | None:
        stored = self._credentials(registry)
        return {"username": stored.user, "password": stored.password} if stored else None
