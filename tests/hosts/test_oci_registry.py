"""The client of registries, against a real one that runs for these tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.oci.auth import Credentials
from hosts.oci.errors import (
    LoginNeeded,
    LoginRefused,
    PlatformMissing,
    RegistryUnreachable,
    RepositoryMissing,
    TagMissing,
    WrongDigest,
)
from hosts.oci.manifests import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from hosts.oci.platforms import Platform
from hosts.oci.registry import Registry, check_login
from hosts.oci.sizes import find_platforms, find_sizes, whole_size, with_unpacked
from tests.hosts.oci_registry import NO_REGISTRY, PROGRAM, Pushed, RealRegistry, real_registry

pytestmark = [pytest.mark.servers, pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)]

AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
USER, PASSWORD = "ada", "right horse"
PASSWORD_FILE = f"{USER}:$2b$05$abcdefghijklmnopqrstuuB05BVy0V7KomGh8K56xgiHLq3Wkqh46\n"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture(scope="module")
def whisper(real: RealRegistry) -> dict[str, Pushed]:
    """An image for two kinds of machine under one tag, and each of them under its own."""
    amd = real.push("lab/whisper:amd", seed=10)
    arm = real.push("lab/whisper:arm", seed=20, architecture="arm64", variant="v8", layers=(900,))
    children = {"linux/amd64": amd, "linux/arm64/v8": arm, "unknown/unknown": amd}
    return {"amd": amd, "arm": arm, "both": real.push_index("lab/whisper:both", children)}


@pytest.fixture
def client(real: RealRegistry) -> Iterator[Registry]:
    with Registry(real.address) as opened:
        yield opened


@pytest.mark.parametrize(
    ("is_docker", "leaf_type", "index_type"),
    [(False, OCI_MANIFEST, OCI_INDEX), (True, DOCKER_MANIFEST, DOCKER_INDEX)],
)
def test_a_tag_has_the_digest_of_what_was_pushed_in_either_format(
    real: RealRegistry, client: Registry, is_docker: bool, leaf_type: str, index_type: str
) -> None:
    leaf = real.push(f"lab/format:leaf{is_docker:d}", is_docker=is_docker)
    index = real.push_index(
        f"lab/format:index{is_docker:d}", {"linux/amd64": leaf}, is_docker=is_docker
    )

    heads = [client.head(leaf.reference), client.head(index.reference)]

    assert [(head.digest, head.media_type) for head in heads] == [
        (leaf.digest, leaf_type),
        (index.digest, index_type),
    ]
    assert client.document(index.reference).digest == index.digest


def test_what_is_unchanged_is_not_sent_again(client: Registry, whisper: dict[str, Pushed]) -> None:
    reference = whisper["both"].reference
    first = client.head(reference)

    again = client.head(reference, etag=first.etag)

    assert (again.digest, again.is_unchanged, first.is_unchanged) == (first.digest, True, False)
    assert client.changed_document(reference, etag=first.etag) is None


def test_an_index_names_its_machines_without_what_is_filed_beside_them(
    client: Registry, whisper: dict[str, Pushed]
) -> None:
    assert find_platforms(client, whisper["both"].reference) == (AMD64, ARM64)
    assert find_platforms(client, whisper["arm"].reference) == (ARM64,)


@pytest.mark.parametrize(("platform", "which"), [("linux/x86_64", "amd"), ("linux/arm64", "arm")])
def test_sizes_are_those_of_the_image_for_this_machine(
    client: Registry, whisper: dict[str, Pushed], platform: str, which: str
) -> None:
    sizes = find_sizes(client, whisper["both"].reference, Platform.parse(platform))

    pushed = whisper[which]
    assert (sizes.digest, sizes.config_digest) == (pushed.digest, pushed.config_digest)
    assert [(layer.digest, layer.size) for layer in sizes.layers] == [
        (digest, packed) for digest, packed, _ in pushed.layers
    ]
    assert sizes.compressed == sum(packed for _, packed, _ in pushed.layers)
    assert len(sizes.diff_ids) == len(sizes.layers)
    assert sizes.unpacked is None


def test_the_last_bytes_of_each_layer_tell_its_size_on_disk(
    client: Registry, whisper: dict[str, Pushed]
) -> None:
    sizes = with_unpacked(client, find_sizes(client, whisper["both"].reference, AMD64))

    assert sizes.unpacked == sum(size for _, _, size in whisper["amd"].layers)


def test_a_layer_used_twice_counts_once(real: RealRegistry, client: Registry) -> None:
    pushed = real.push("lab/twice:1")
    sizes = find_sizes(client, pushed.reference, AMD64)

    doubled = dataclasses.replace(sizes, layers=sizes.layers * 2)

    assert doubled.compressed == sizes.compressed
    assert with_unpacked(client, doubled).unpacked == with_unpacked(client, sizes).unpacked


def test_a_missing_layer_leaves_the_size_on_disk_unknown(
    client: Registry, whisper: dict[str, Pushed]
) -> None:
    sizes = find_sizes(client, whisper["amd"].reference, AMD64)
    gone = dataclasses.replace(sizes.layers[0], digest="sha256:" + "0" * 64)

    measured = with_unpacked(client, dataclasses.replace(sizes, layers=(gone, sizes.layers[1])))

    assert measured.unpacked is None
    assert measured.layers[1].unpacked == whisper["amd"].layers[1][2]


@pytest.mark.parametrize(
    ("told", "packed", "whole"),
    [
        (5000, 1000, 5000),
        (0, 20, 0),
        (998, 1000, 998),
        (10, 5_000_000, None),
        (700_000_000, 2_500_000_000, 700_000_000 + 2**32),
    ],
)
def test_sizes_beyond_four_gib_are_told_from_nonsense(
    told: int, packed: int, whole: int | None
) -> None:
    assert whole_size(told, packed) == whole


@pytest.mark.parametrize("which", ["both", "amd"])
def test_a_machine_that_an_image_is_not_made_for_is_told_for_which_it_is(
    client: Registry, whisper: dict[str, Pushed], which: str
) -> None:
    with pytest.raises(PlatformMissing) as caught:
        find_sizes(client, whisper[which].reference, Platform.parse("linux/s390x"))

    assert "linux/s390x" in caught.value.message
    assert "linux/amd64" in caught.value.message


def test_a_missing_tag_and_a_missing_repository_are_told_apart(
    client: Registry, real: RealRegistry, whisper: dict[str, Pushed]
) -> None:
    with pytest.raises(TagMissing) as tag:
        client.document(real.reference("lab/whisper:no-such"))
    with pytest.raises(RepositoryMissing) as repository:
        client.tags("lab/nothing")

    assert f"{real.address} has lab/whisper, but no version no-such" in tag.value.message
    assert "lab/nothing" in repository.value.message


def test_all_tags_are_listed(real: RealRegistry, client: Registry) -> None:
    for number in range(3):
        real.push(f"lab/many:t{number}")

    assert sorted(client.tags("lab/many")) == ["t0", "t1", "t2"]


def test_damaged_content_is_not_believed(real: RealRegistry, client: Registry) -> None:
    pushed = real.push("lab/damaged:1", seed=99)
    real.damage(pushed.config_digest)

    with pytest.raises(WrongDigest) as caught:
        find_sizes(client, pushed.reference, AMD64)

    assert pushed.config_digest in caught.value.detail


def test_a_registry_that_was_stopped_is_unreachable(tmp_path: Path) -> None:
    with real_registry(tmp_path) as started:
        pushed = started.push("lab/x:1")
        with Registry(started.address) as client:
            assert client.head(pushed.reference).digest == pushed.digest
            started.stop()

            with pytest.raises(RegistryUnreachable) as caught:
                client.head(pushed.reference)

    assert started.address in caught.value.message
    assert "lab/x:1" in caught.value.message


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "passwords").write_text(PASSWORD_FILE)
    auth = {"htpasswd": {"realm": "lab", "path": str(folder / "passwords")}}
    with real_registry(folder, auth=auth) as started:
        yield started


def test_a_right_password_is_accepted_and_a_wrong_one_refused(guarded: RealRegistry) -> None:
    assert check_login(guarded.address, USER, PASSWORD) is True
    with pytest.raises(LoginRefused) as caught:
        check_login(guarded.address, USER, "wrong horse")

    assert USER in caught.value.message
    assert "wrong horse" not in caught.value.message + caught.value.detail


def test_a_registry_open_to_all_says_that_nothing_was_proved(real: RealRegistry) -> None:
    assert check_login(real.address, USER, PASSWORD) is False


def test_without_a_login_the_way_out_is_a_login(guarded: RealRegistry) -> None:
    with Registry(guarded.address) as client, pytest.raises(LoginNeeded) as caught:
        client.head(guarded.reference("lab/x:1"))

    assert f"store a user name and password for {guarded.address}" in caught.value.message


def test_with_a_login_a_missing_tag_is_a_missing_tag(guarded: RealRegistry) -> None:
    login = Credentials(USER, PASSWORD)
    with Registry(guarded.address, credentials=login) as client, pytest.raises(TagMissing):
        client.document(guarded.reference("lab/x:1"))

    assert PASSWORD not in repr(login)
