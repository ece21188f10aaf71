"""What takes the disk of a real daemon, what comes free, and that nothing else is touched."""

from __future__ import annotations

import contextlib
import io
import random
import tarfile
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound as NoSuchImage
from docker.errors import NotFound

from hosts.runners.docker.disk import DiskUse, Reclaimable, disk_use, reclaimable, usage
from hosts.runners.docker.reclaim import reclaim
from hosts.runners.docker.volumes import create_volume
from lab.fleet import Lab
from lab.made_images import tiny_layer, tiny_run
from lab.own import OwnDaemon, own_daemon
from lab.pushing import Layer, Pusher

pytestmark = pytest.mark.fleet
OURS, THEIRS = "00aa00aa00aa00aa", "11bb11bb11bb11bb"
SHARED, LARGE, SMALL = 3_000_000, 2_000_000, 500_000


@pytest.fixture(scope="module")
def shared(lab: Lab) -> Iterator[OwnDaemon]:
    with own_daemon(lab.place) as own:
        yield own


@pytest.fixture
def client(shared: OwnDaemon) -> Iterator[docker.APIClient]:
    """Its daemon is empty before each test."""
    with contextlib.closing(shared.client()) as client:
        yield client.api
        for row in client.api.containers(all=True, quiet=True):
            client.api.remove_container(row["Id"], force=True, v=True)
        for volume in client.volumes.list():
            volume.remove()
        for image in client.images.list():
            client.images.remove(str(image.id), force=True)
        client.images.prune(filters={"dangling": False})
        client.images.prune_builds()


@pytest.fixture
def images(client: docker.APIClient, pusher: Pusher) -> dict[str, str]:
    """By name: `one` and `two` share a layer that `other` lacks; all share the first."""
    first, common = tiny_layer(), noise("common", SHARED)
    stacks = {
        "one": [first, common, noise("one", LARGE)],
        "two": [first, common, noise("two", SMALL)],
        "other": [first, noise("other", SMALL)],
    }
    names = {}
    for name, layers in stacks.items():
        pusher.push(f"test/{name}", "latest", layers, run=tiny_run())
        names[name] = f"{pusher.address}/test/{name}:latest"
        client.pull(names[name])
    return names


def noise(name: str, size: int) -> Layer:
    return Layer.of_files({f"{name}.bin": random.Random(name).randbytes(size)})


def make(
    client: docker.APIClient, image: str, engine: str, deployment: str = OURS, **more: Any
) -> str:
    labels = {"abm.engine": engine, "abm.deployment": deployment}
    return str(client.create_container(image, name=engine, labels=labels, **more)["Id"])


def writes(path: str, size: int) -> list[str]:
    return ["/bin/busybox", "sh", "-c", f"/bin/busybox head -c {size} /dev/urandom > {path}"]


def run(client: docker.APIClient, found: str) -> None:
    client.start(found)
    assert client.wait(found)["StatusCode"] == 0, client.logs(found)


def image_id(client: Any, image: str) -> str:
    return str(client.inspect_image(image)["Id"])


def layers_size(client: docker.APIClient) -> int:
    return int(usage(client)["LayersSize"])


def names_of(use: DiskUse) -> set[str]:
    return {name for image in use.images for name in image.names}


def test_layers_that_images_share_count_once(
    client: docker.APIClient, images: dict[str, str]
) -> None:
    use = disk_use(client, OURS, images=[images["one"], image_id(client, images["two"])])
    by_name = {image.names[0]: image for image in use.images}

    assert set(by_name) == {images["one"], images["two"]}
    assert by_name[images["one"]].own_bytes == LARGE
    assert by_name[images["two"]].own_bytes == SMALL
    assert use.images_size == SHARED + LARGE + SMALL
    assert use.images_size + use.other_images_size == layers_size(client)


def test_what_is_foretold_comes_free(client: docker.APIClient, images: dict[str, str]) -> None:
    ours = [images["one"], images["two"]]
    chosen = reclaimable(disk_use(client, OURS, images=ours), engines=())
    before = layers_size(client)
    done = reclaim(client, chosen, deployment=OURS, images=ours)

    assert chosen.size == done.size == SHARED + LARGE + SMALL
    assert before - layers_size(client) == done.size
    assert set(done.removed) == set(ours) and not done.kept
    assert image_id(client, images["other"])


def test_a_container_and_its_image_go_together_with_what_it_wrote(
    client: docker.APIClient, images: dict[str, str]
) -> None:
    config = client.create_host_config()
    found = make(
        client, images["one"], "gone", command=writes("/tmp/x", 400_000), host_config=config
    )
    run(client, found)
    use = disk_use(client, OURS)
    assert use.containers[0].size >= 400_000
    assert names_of(use) == {images["one"]}
    kept = reclaimable(use, engines=["gone"])
    assert (kept.containers, kept.images, kept.size) == ((), (), 0)

    chosen = reclaimable(use, engines=[])
    done = reclaim(client, chosen, deployment=OURS)

    assert done.size == LARGE + use.containers[0].size
    assert set(done.removed) == {"gone", images["one"]}
    with pytest.raises(NoSuchImage):
        image_id(client, images["one"])


def test_what_runs_or_is_anothers_is_neither_offered_nor_removed(
    client: docker.APIClient, images: dict[str, str]
) -> None:
    running = make(client, images["one"], "runs")
    client.start(running)
    theirs = make(client, images["two"], "theirs", THEIRS)
    foreign = str(client.create_container(images["other"], name="my-audiobook-notes")["Id"])
    client.create_volume("notes")
    create_volume(client, "their-models", THEIRS)
    use = disk_use(client, OURS, images=list(images.values()))
    assert reclaimable(use, engines=()) == Reclaimable()

    everything = Reclaimable(
        images=tuple(images.values()),
        containers=(running, theirs, foreign),
        volumes=("notes", "their-models"),
    )
    before = layers_size(client)
    done = reclaim(client, everything, deployment=OURS, images=list(images.values()))

    assert (done.size, done.removed) == (0, ())
    assert len(done.kept) == 8 and all(kept.reason.endswith(".") for kept in done.kept)
    assert layers_size(client) == before
    assert len(client.containers(all=True)) == 3
    assert len(client.volumes()["Volumes"]) == 2


def test_an_image_that_no_engine_uses_is_not_ours_even_when_it_is_named(
    client: docker.APIClient, images: dict[str, str]
) -> None:
    done = reclaim(client, Reclaimable(images=(images["other"],)), deployment=OURS)

    assert not done.removed and "no engine's" in done.kept[0].reason
    assert image_id(client, images["other"])


def test_an_image_with_a_name_that_somebody_gave_is_kept(
    client: docker.APIClient, images: dict[str, str]
) -> None:
    found = image_id(client, images["one"])
    client.tag(found, "mine", "1")
    assert not reclaimable(disk_use(client, OURS, images=[images["one"]]), engines=()).images
    chosen = Reclaimable(images=(found,))
    done = reclaim(client, chosen, deployment=OURS, images=[images["one"]])
    assert not done.removed and "mine:1" in done.kept[0].reason
    by_name = Reclaimable(images=(images["one"],))
    done = reclaim(client, by_name, deployment=OURS, images=[images["one"]])

    assert (done.size, done.removed) == (0, ())
    assert "other names" in done.kept[0].reason
    assert image_id(client, "mine:1") == found


def test_volumes_are_counted_with_who_has_them(
    client: docker.APIClient, images: dict[str, str]
) -> None:
    create_volume(client, "abm-models", OURS, engine="speaks")
    create_volume(client, "abm-free", OURS)
    client.create_volume("notes")
    mounts = client.create_host_config(binds=["abm-models:/m", "notes:/n"])
    found = make(
        client, images["one"], "speaks", command=writes("/m/x", 700_000), host_config=mounts
    )
    run(client, found)
    use = disk_use(client, OURS)

    told = {volume.name: (volume.size, volume.engine, volume.used_by) for volume in use.volumes}
    assert told == {"abm-models": (700_000, "speaks", ("speaks",)), "abm-free": (0, "", ())}
    assert reclaimable(use, engines=["speaks"]).volumes == ("abm-free",)
    assert set(reclaimable(use, engines=[]).volumes) == {"abm-models", "abm-free"}
    done = reclaim(client, reclaimable(use, engines=[]), deployment=OURS)
    assert done.size == LARGE + 700_000
    assert not done.kept
    client.inspect_volume("notes")
    with pytest.raises(NotFound):
        client.inspect_volume("abm-models")


def test_a_volume_of_ours_that_another_container_has_is_kept(
    client: docker.APIClient, images: dict[str, str]
) -> None:
    create_volume(client, "abm-models", OURS)
    mounts = client.create_host_config(binds=["abm-models:/m"])
    client.create_container(images["other"], name="reader", host_config=mounts)
    done = reclaim(client, Reclaimable(volumes=("abm-models",)), deployment=OURS)

    assert not done.removed and "used by reader" in done.kept[0].reason
    assert client.inspect_volume("abm-models")


def test_build_cache_goes_by_its_id_alone(client: docker.APIClient) -> None:
    build(client)
    rows = {row["ID"]: row for row in usage(client)["BuildCache"]}
    use = disk_use(client, OURS)
    assert use.build_cache_size == sum(row["Size"] for row in rows.values() if not row["Shared"])
    chosen = next(row for row in rows.values() if not row["Shared"] and row["Size"] > SMALL)
    done = reclaim(client, Reclaimable(build_cache=(chosen["ID"],)), deployment=OURS)

    assert done.size == chosen["Size"]
    assert {row["ID"] for row in usage(client)["BuildCache"]} == set(rows) - {chosen["ID"]}


def build(client: Any) -> None:
    """By BuildKit, which alone has a build cache."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in (
            ("Dockerfile", b"FROM scratch\nCOPY file /file\n"),
            ("file", random.Random("build").randbytes(LARGE)),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    answer = client.post(
        f"{client.base_url}/v{client.api_version}/build?version=2&t=built:1",
        data=buffer.getvalue(),
        headers={"Content-Type": "application/x-tar"},
        timeout=60,
    )
    assert "Successfully tagged" in answer.text
