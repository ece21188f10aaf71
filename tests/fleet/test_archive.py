"""Images to files and back, on a real daemon; and files that are none."""

from __future__ import annotations

import gzip
import tarfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import docker
import pytest

from hosts.oci.reference import ImageReference
from hosts.runners.base import (
    DiskFull,
    HostNotReady,
    HostUnreachable,
    ImageNotFound,
    InstallFailed,
    Progress,
)
from hosts.runners.docker.archive_loading import LoadedImage, load
from hosts.runners.docker.archive_saving import SavedArchive, save
from jobs.outcome import Cancelled, CancelToken
from tests.fleet.building import ended, forget, lines
from tests.hosts.archives import oci_layout

pytestmark = pytest.mark.fleet


@pytest.fixture
def image(shared_client: docker.DockerClient, registry_address: str) -> ImageReference:
    name = f"{registry_address}/lab/tiny:latest"
    shared_client.images.pull(name)
    return ImageReference.parse(name)


@pytest.fixture
def saved(
    shared_client: docker.DockerClient, image: ImageReference, tmp_path: Path
) -> SavedArchive:
    return ended(save(shared_client.api, image, tmp_path / "tiny.tar", cancel=CancelToken()))[1]


def loaded(
    client: docker.DockerClient, path: Path, **how: Any
) -> tuple[list[Progress], tuple[LoadedImage, ...]]:
    return ended(load(client.api, path, cancel=CancelToken(), host_name="lab", **how))


def refusal(client: docker.DockerClient, path: Path, **how: Any) -> str:
    with pytest.raises(InstallFailed) as raised:
        loaded(client, path, **how)
    return raised.value.message


def monotone(told: list[Progress]) -> bool:
    for step in {progress.step for progress in told}:
        shares = [p.fraction for p in told if p.step == step and p.fraction is not None]
        if shares != sorted(shares):
            return False
    return told[-1].fraction == 1


class TestSave:
    def test_the_file_holds_the_image_and_says_so(
        self, shared_client: docker.DockerClient, image: ImageReference, tmp_path: Path
    ) -> None:
        path = tmp_path / "tiny.tar"
        path.write_text("an older one")

        told, saved = ended(save(shared_client.api, image, path, cancel=CancelToken()))

        assert saved.names == (image.familiar,)
        assert saved.size == path.stat().st_size
        with tarfile.open(path) as archive:
            assert "manifest.json" in archive.getnames()
        assert list(tmp_path.iterdir()) == [path]
        assert monotone(told)
        assert "is saved as" in told[-1].line

    def test_an_image_that_is_not_there_is_named(
        self, shared_client: docker.DockerClient, tmp_path: Path
    ) -> None:
        missing = ImageReference.parse("abm-test/nothing:1")

        with pytest.raises(ImageNotFound, match="abm-test/nothing:1 is not on this machine"):
            ended(save(shared_client.api, missing, tmp_path / "x.tar", cancel=CancelToken()))

    def test_a_missing_folder_is_named(
        self, shared_client: docker.DockerClient, image: ImageReference, tmp_path: Path
    ) -> None:
        path = tmp_path / "nowhere" / "x.tar"

        with pytest.raises(HostNotReady, match="There is no folder"):
            ended(save(shared_client.api, image, path, cancel=CancelToken()))

    def test_a_small_disk_is_refused_with_the_numbers(
        self, shared_client: docker.DockerClient, image: ImageReference, small_disk: Path
    ) -> None:
        with pytest.raises(DiskFull, match=r"takes .* MB, and .* has only .* left"):
            ended(save(shared_client.api, image, small_disk / "x.tar", cancel=CancelToken()))

    def test_cancel_leaves_no_part(
        self, shared_client: docker.DockerClient, large: ImageReference, tmp_path: Path
    ) -> None:
        cancel = CancelToken()
        steps = save(shared_client.api, large, tmp_path / "large.tar", cancel=cancel)
        next(steps)

        seconds = cancelled(steps, cancel)

        assert seconds < 2
        assert list(tmp_path.iterdir()) == []

    def test_a_daemon_that_dies_leaves_no_part(
        self, make_daemon: Callable[..., Any], registry_address: str, tmp_path: Path
    ) -> None:
        own = make_daemon()
        client = own.client()
        client.images.pull(f"{registry_address}/lab/large:latest")
        image = ImageReference.parse(f"{registry_address}/lab/large:latest")
        steps = save(client.api, image, tmp_path / "large.tar", cancel=CancelToken())
        next(steps)

        own.kill()

        with pytest.raises(HostUnreachable, match="Docker on this machine"):
            ended(steps)
        assert list(tmp_path.iterdir()) == []
        client.close()


class TestLoad:
    def test_a_saved_image_comes_back_under_its_name(
        self, shared_client: docker.DockerClient, saved: SavedArchive, image: ImageReference
    ) -> None:
        forget(shared_client, image.familiar)

        told, images = loaded(shared_client, saved.path)

        assert [one.name for one in images] == [image.familiar]
        assert images[0].id == shared_client.images.get(image.familiar).id
        assert images[0].platform == "linux/amd64"
        assert images[0].size > 1_000_000
        assert monotone(told)
        assert {progress.step for progress in told} == {"check", "load"}
        assert any("are on lab now" in line for line in lines(told))

    def test_what_is_there_already_is_loaded_again(
        self, shared_client: docker.DockerClient, saved: SavedArchive
    ) -> None:
        _, images = loaded(shared_client, saved.path)

        assert len(images) == 1

    def test_a_packed_file_is_loaded(
        self, shared_client: docker.DockerClient, saved: SavedArchive, image: ImageReference
    ) -> None:
        packed = saved.path.with_suffix(".tar.gz")
        packed.write_bytes(gzip.compress(saved.path.read_bytes(), 1))
        forget(shared_client, image.familiar)

        _, images = loaded(shared_client, packed)

        assert [one.name for one in images] == [image.familiar]

    @pytest.mark.parametrize("is_packed", [False, True])
    def test_an_oci_layout_is_loaded(
        self, shared_client: docker.DockerClient, tmp_path: Path, is_packed: bool
    ) -> None:
        path = oci_layout(tmp_path / "oci.tar", name="abm-test/from-oci:7")
        if is_packed:
            path.write_bytes(gzip.compress(path.read_bytes()))
        forget(shared_client, "abm-test/from-oci:7")

        _, images = loaded(shared_client, path)

        assert [one.name for one in images] == ["abm-test/from-oci:7"]
        labels = shared_client.images.get("abm-test/from-oci:7").labels
        assert labels == {"for": "amd64"}

    def test_an_image_without_a_name_is_told_by_its_id(
        self, shared_client: docker.DockerClient, tmp_path: Path
    ) -> None:
        path = oci_layout(tmp_path / "oci.tar", name="")

        _, (image,) = loaded(shared_client, path)

        assert image.name == ""
        assert shared_client.images.get(image.id).id == image.id

    @pytest.mark.parametrize("step", ["check", "load"])
    def test_cancel_ends_it(
        self, shared_client: docker.DockerClient, large: ImageReference, tmp_path: Path, step: str
    ) -> None:
        path = tmp_path / "large.tar"
        ended(save(shared_client.api, large, path, cancel=CancelToken()))
        forget(shared_client, large.familiar)
        cancel = CancelToken()
        steps = load(shared_client.api, path, cancel=cancel)
        while next(steps).step != step:
            pass

        assert cancelled(steps, cancel) < 2


class TestWhatIsRefused:
    def test_what_is_no_image_does_not_reach_the_daemon(
        self, shared_client: docker.DockerClient, tmp_path: Path
    ) -> None:
        path = tmp_path / "notes.tar"
        path.write_bytes(b"notes")

        assert "notes.tar holds no image" in refusal(shared_client, path)

    def test_a_limit_can_be_set(
        self, shared_client: docker.DockerClient, saved: SavedArchive
    ) -> None:
        assert "More than 1.0 MB come out" in refusal(
            shared_client, saved.path, most_bytes=1_000_000
        )

    def test_a_changed_layer_is_noticed_by_the_daemon(
        self, shared_client: docker.DockerClient, tmp_path: Path
    ) -> None:
        path = oci_layout(tmp_path / "oci.tar", name="abm-test/broken:1", wrong_layer=True)

        assert "is damaged" in refusal(shared_client, path)


def cancelled(steps: Generator[Progress, None, object], cancel: CancelToken) -> float:
    """Seconds that it took to end once it was cancelled from another thread."""
    begun = list[float]()

    def end() -> None:
        begun.append(time.monotonic())
        cancel.cancel("No longer wanted.")

    threading.Timer(0.05, end).start()
    with pytest.raises(Cancelled, match="No longer wanted"):
        ended(steps)
    return time.monotonic() - begun[0]


@pytest.fixture
def large(shared_client: docker.DockerClient, registry_address: str) -> ImageReference:
    name = f"{registry_address}/lab/large:latest"
    shared_client.images.pull(name)
    return ImageReference.parse(name)


@pytest.fixture
def small_disk(make_daemon: Callable[..., Any]) -> Path:
    """A file system of 20 MB."""
    return Path(make_daemon(data_megabytes=20).daemon.data)
