"""Volumes of a real daemon, and the files in them, seen from here and by a helper."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound

from hosts.runners.base import RunnerError
from hosts.runners.container import Mount
from hosts.runners.docker.stored_files import (
    HELPER,
    FolderMissing,
    Helper,
    delete_entry,
    end_helpers,
    is_empty,
    list_files,
)
from hosts.runners.docker.stored_putting import make_folder, put_file
from hosts.runners.docker.volumes import (
    NotOurs,
    VolumeInUse,
    create_volume,
    delete_volume,
    sizes,
    volumes,
)
from lab.base_image import NAME as BASE
from lab.fleet import Lab
from lab.own import own_daemon
from lab.pushing import Layer, Pusher

pytestmark = pytest.mark.fleet
OURS, THEIRS = "00aa00aa00aa00aa", "11bb11bb11bb11bb"
FILL = "mkdir -p /m/xtts && head -c 300000 /dev/zero > /m/xtts/model.pth && echo hi > '/m/a b'"


@pytest.fixture(scope="module")
def daemon_client(lab: Lab) -> Iterator[docker.APIClient]:
    with own_daemon(lab.place) as own, contextlib.closing(own.client()) as client:
        client.images.pull(f"{lab.place.registry}/{BASE}", "3.11-slim")
        client.images.pull(lab.place.image("tiny"))
        yield client.api


@pytest.fixture
def client(daemon_client: docker.APIClient) -> Iterator[docker.APIClient]:
    yield daemon_client
    for row in daemon_client.containers(all=True, quiet=True):
        daemon_client.remove_container(row["Id"], force=True)
    for row in daemon_client.volumes()["Volumes"] or ():
        daemon_client.remove_volume(row["Name"])


@pytest.fixture
def python(client: Any, lab: Lab) -> str:
    return str(client.inspect_image(f"{lab.place.registry}/{BASE}:3.11-slim")["Id"])


@pytest.fixture
def helper(client: docker.APIClient, python: str) -> Helper:
    return Helper(client, python, OURS)


@pytest.fixture
def filled(client: docker.APIClient, python: str) -> Mount:
    """A volume that an engine has put a model into."""
    create_volume(client, "models", OURS)
    binds = client.create_host_config(binds=["models:/m"])
    found = client.create_container(python, command=["sh", "-c", FILL], host_config=binds)["Id"]
    client.start(found)
    assert client.wait(found)["StatusCode"] == 0
    client.remove_container(found)
    return Mount("models", "/app/external_models")


def paths(place: Mount, helper: Helper, *, is_here: bool) -> dict[str, int]:
    return {
        file.path: file.size for file in list_files(place, is_here=is_here, helper=helper).files
    }


def test_a_volume_is_made_once_and_listed_as_ours(client: docker.APIClient) -> None:
    made = create_volume(client, "abm-models", OURS, engine="speaks")
    assert create_volume(client, "abm-models", OURS, engine="speaks") == made
    create_volume(client, "their-models", THEIRS)
    client.create_volume("notes")

    assert volumes(client, OURS) == (made,)
    assert (made.engine, made.driver, made.used_by) == ("speaks", "local", ())


def test_a_foreign_volume_of_the_name_is_neither_taken_nor_deleted(
    client: docker.APIClient,
) -> None:
    client.create_volume("notes")
    create_volume(client, "their-models", THEIRS)
    for name in ("notes", "their-models"):
        with pytest.raises(NotOurs, match=f"The volume {name} was not made by this abm"):
            create_volume(client, name, OURS)
        with pytest.raises(NotOurs):
            delete_volume(client, name, OURS)

    assert len(client.volumes()["Volumes"]) == 2


def test_a_volume_in_use_is_kept_and_says_by_whom(client: docker.APIClient, python: str) -> None:
    create_volume(client, "models", OURS)
    config = client.create_host_config(binds=["models:/m"])
    for name in ("first", "second"):
        client.create_container(python, name=name, host_config=config)
    with pytest.raises(VolumeInUse, match="used by first and second"):
        delete_volume(client, "models", OURS)
    client.remove_container("first")
    client.remove_container("second")
    delete_volume(client, "models", OURS)
    delete_volume(client, "models", OURS)

    assert volumes(client, OURS) == ()


def test_the_size_of_a_volume_is_told(client: docker.APIClient, filled: Mount) -> None:
    create_volume(client, "empty", OURS)

    assert sizes(client, ["models", "empty", "absent"]) == {"models": 300_003, "empty": 0}


@pytest.mark.parametrize("is_here", [True, False], ids=["from here", "by a helper"])
def test_models_in_a_volume_are_listed(filled: Mount, helper: Helper, is_here: bool) -> None:
    found = list_files(filled, is_here=is_here, helper=helper)

    assert paths(filled, helper, is_here=is_here) == {"a b": 3, "xtts/model.pth": 300_000}
    assert found.entries == {"xtts": 300_000, "a b": 3}
    assert found.is_whole


@pytest.mark.parametrize("is_here", [True, False], ids=["from here", "by a helper"])
def test_a_model_in_a_volume_is_deleted(filled: Mount, helper: Helper, is_here: bool) -> None:
    delete_entry(filled, "xtts", is_here=is_here, helper=helper)
    delete_entry(filled, "xtts", is_here=is_here, helper=helper)

    assert paths(filled, helper, is_here=is_here) == {"a b": 3}


@pytest.mark.parametrize("is_here", [True, False], ids=["from here", "by a helper"])
def test_an_empty_volume_is_told_from_a_filled_one(
    client: docker.APIClient, filled: Mount, helper: Helper, is_here: bool
) -> None:
    create_volume(client, "empty", OURS)

    assert is_empty(Mount("empty", "/m"), is_here=is_here, helper=helper)
    assert not is_empty(filled, is_here=is_here, helper=helper)


def test_a_folder_of_the_host_is_seen_by_a_helper(helper: Helper, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(bytes(12))
    (tmp_path / "link").symlink_to("/etc/passwd")

    assert paths(Mount(str(tmp_path), "/m"), helper, is_here=False) == {"model": 12}


def test_what_is_not_there_is_not_made_by_looking(
    client: docker.APIClient, helper: Helper, tmp_path: Path
) -> None:
    with pytest.raises(NotFound):
        list_files(Mount("absent", "/m"), is_here=False, helper=helper)
    absent = Mount(str(tmp_path / "absent"), "/m")
    assert not list_files(absent, is_here=False, helper=helper).is_there
    with pytest.raises(FolderMissing):
        put_file(absent, "a", Path(__file__), is_here=False, helper=helper)

    assert not client.volumes()["Volumes"]
    assert not (tmp_path / "absent").exists()
    assert not client.containers(all=True)


def test_a_folder_is_made_and_filled_by_a_helper(
    client: docker.APIClient, helper: Helper, tmp_path: Path
) -> None:
    place, source = Mount(str(tmp_path / "a" / "b"), "/m"), tmp_path / "ada.wav"
    source.write_bytes(b"sound")
    for _ in range(2):
        make_folder(place, is_here=False, helper=helper)
        put_file(place, "ada.wav", source, is_here=False, helper=helper)

    assert (tmp_path / "a" / "b" / "ada.wav").read_bytes() == b"sound"
    assert paths(place, helper, is_here=False) == {"ada.wav": 5}
    assert not client.containers(all=True)


def test_a_small_image_helps_as_well(client: Any, filled: Mount, lab: Lab) -> None:
    tiny = Helper(client, client.inspect_image(lab.place.image("tiny"))["Id"], OURS)

    assert paths(filled, tiny, is_here=False) == {"a b": 3, "xtts/model.pth": 300_000}


def test_an_image_without_tools_says_so_and_not_that_all_is_empty(
    client: Any, filled: Mount, python: str
) -> None:
    made = client.create_container(python, command=["rm", "/usr/bin/find"])["Id"]
    client.start(made)
    client.wait(made)
    bare = client.commit(made)["Id"]
    client.remove_container(made)
    with pytest.raises(RunnerError, match="could not look into models") as caught:
        list_files(filled, is_here=False, helper=Helper(client, bare, OURS))

    assert "find" in caught.value.detail
    assert not client.containers(all=True)


def test_an_image_without_a_shell_says_so(
    client: docker.APIClient, filled: Mount, pusher: Pusher
) -> None:
    pusher.push("test/bare", "latest", [Layer.of_files({"file": b"x"})], run={"Cmd": ["/file"]})
    image = f"{pusher.address}/test/bare"
    client.pull(image, "latest")
    with pytest.raises(RunnerError, match="could not look into models") as caught:
        list_files(filled, is_here=False, helper=Helper(client, f"{image}:latest", OURS))

    assert "sh" in caught.value.detail
    assert not client.containers(all=True)


def test_helpers_that_were_left_behind_are_ended(client: docker.APIClient, python: str) -> None:
    for deployment in (OURS, THEIRS):
        client.create_container(python, labels={HELPER: deployment})

    assert end_helpers(client, OURS) == 1
    assert len(client.containers(all=True)) == 1
