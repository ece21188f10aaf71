"""Builds of one test on a real daemon, from a folder that the test writes."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import docker
import docker.errors
import pytest

from hosts.oci.reference import ImageReference
from hosts.runners.base import Progress, RunnerError
from hosts.runners.docker.build import BuiltImage, build
from hosts.runners.docker.build_source import BuildSource
from hosts.runners.docker.git_source import PROTOCOLS
from jobs.outcome import CancelToken

Result = TypeVar("Result")
TAG = ImageReference.parse("abm-test/thing:1")


def ended(steps: Generator[Progress, None, Result]) -> tuple[list[Progress], Result]:
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return told, end.value


class Builder:
    """Builds folders of one test on one daemon."""

    def __init__(self, client: docker.DockerClient, base: str, folder: Path) -> None:
        self.client, self.base, self.folder = client, base, folder
        self.context = folder / "context"
        self.context.mkdir()

    def write(self, dockerfile: str, files: Mapping[str, str] | None = None) -> None:
        for name, text in {"Dockerfile": dockerfile, **(files or {})}.items():
            file = self.context / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("BASE", self.base))

    def steps(
        self, *, cancel: CancelToken | None = None, tag: ImageReference = TAG, **how: Any
    ) -> Generator[Progress, None, BuiltImage]:
        root = how.pop("root", self.context)
        return build(
            self.client.api,
            BuildSource(root, **how),
            tag,
            cancel=cancel or CancelToken(),
            workspace=self.folder / "work",
            protocols=PROTOCOLS | {"file"},
            host_name="lab",
        )

    def run(self, **how: Any) -> tuple[list[Progress], BuiltImage]:
        return ended(self.steps(**how))

    def failure(self, **how: Any) -> RunnerError:
        with pytest.raises(RunnerError) as raised:
            self.run(**how)
        return raised.value

    def text(self, image: BuiltImage, path: str) -> str:
        """What a file of the image holds."""
        container = self.client.containers.create(image.id, ["none"])
        try:
            chunks, _ = container.get_archive(path)
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                member = archive.extractfile(archive.getmembers()[0])
                return member.read().decode().strip() if member else ""
        finally:
            container.remove()


def lines(told: list[Progress]) -> list[str]:
    return [progress.line for progress in told if progress.line]


def forget(client: docker.DockerClient, image: str) -> None:
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.remove(image, force=True)


@pytest.fixture
def builder(
    shared_client: docker.DockerClient, registry_address: str, tmp_path: Path
) -> Iterator[Builder]:
    """Builds on a daemon that the file's tests share; no container of a build may be left."""
    yield Builder(shared_client, f"{registry_address}/lab/tiny:latest", tmp_path)

    left = shared_client.containers.list(all=True, ignore_removed=True)
    assert [container.name for container in left] == []
