"""Pushing from a real daemon to a real registry, and what is said when it does not want it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping

import docker
import pytest

from hosts.oci.reference import ImageReference
from hosts.runners.base import ImageNotFound, InstallFailed, Progress
from hosts.runners.docker.push import PushedImage, PushLedger, push
from jobs.outcome import Cancelled, CancelToken
from lab.faults import Fault, Login
from lab.faulty_registry import FaultyRegistry
from lab.made_images import tiny_layer, tiny_run
from lab.pushing import Layer, Pusher
from lab.registry import Registry
from tests.fleet.building import ended, lines

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def image(shared_client: docker.DockerClient, registry_address: str) -> str:
    name = f"{registry_address}/lab/tiny:latest"
    shared_client.images.pull(name)
    return name


def pushed(
    client: docker.DockerClient,
    image: str,
    name: str,
    *,
    auth: Mapping[str, str] | None = None,
    cancel: CancelToken | None = None,
) -> tuple[list[Progress], PushedImage]:
    reference = ImageReference.parse(name)
    return ended(push(client.api, image, reference, cancel=cancel or CancelToken(), auth=auth))


def refusal(
    client: docker.DockerClient, image: str, name: str, auth: Mapping[str, str] | None = None
) -> str:
    with pytest.raises(InstallFailed) as raised:
        pushed(client, image, name, auth=auth)
    return raised.value.message


def test_the_image_is_in_the_registry_under_its_new_name(
    shared_client: docker.DockerClient,
    image: str,
    own_images: Registry,
    pusher: Pusher,
) -> None:
    told, result = pushed(shared_client, image, f"{own_images.address}/mine/thing:2")

    found = pusher.find("mine/thing", "2")
    assert found is not None
    assert found.digest == result.digest
    shares = [progress.fraction for progress in told if progress.fraction is not None]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any("Pushed" in line for line in lines(told))


def test_layers_that_are_there_are_not_sent_again(
    shared_client: docker.DockerClient, image: str, own_images: Registry
) -> None:
    name = f"{own_images.address}/mine/thing"
    pushed(shared_client, image, f"{name}:1")

    told, _ = pushed(shared_client, image, f"{name}:2")

    assert any("Layer already exists" in line for line in lines(told))
    assert told[-1].bytes_done == 0


@pytest.mark.parametrize("gives_tokens", [False, True])
def test_a_login_is_shown(
    shared_client: docker.DockerClient,
    image: str,
    faulty_registry: FaultyRegistry,
    gives_tokens: bool,
) -> None:
    faulty_registry.login = Login("ada", "right horse", gives_tokens=gives_tokens)
    auth = {"username": "ada", "password": "right horse"}

    _, result = pushed(shared_client, image, f"{faulty_registry.address}/mine/a:1", auth=auth)

    assert result.digest.startswith("sha256:")


@pytest.mark.parametrize("auth", [None, {"username": "ada", "password": "wrong"}])
def test_a_missing_or_wrong_login_is_told(
    shared_client: docker.DockerClient,
    image: str,
    faulty_registry: FaultyRegistry,
    auth: Mapping[str, str] | None,
) -> None:
    faulty_registry.login = Login("ada", "right horse")
    name = f"{faulty_registry.address}/mine/b:1"

    said = refusal(shared_client, image, name, auth)

    assert said.startswith(f"{name} was not pushed. {faulty_registry.address} wants a login")
    assert "horse" not in said


def test_a_refused_push_names_the_repository(
    shared_client: docker.DockerClient, image: str, faulty_registry: FaultyRegistry
) -> None:
    faulty_registry.fail(Fault(where="/v2/mine/", status=403))

    said = refusal(shared_client, image, f"{faulty_registry.address}/mine/c:1")

    assert f"{faulty_registry.address} does not let this login push to mine/c" in said


def test_a_registry_that_is_not_there_is_told(
    shared_client: docker.DockerClient, image: str, faulty_registry: FaultyRegistry
) -> None:
    faulty_registry.stop()

    said = refusal(shared_client, image, f"{faulty_registry.address}/mine/d:1")

    assert "no good connection to the registry" in said


def test_an_image_that_is_not_there_is_named(
    shared_client: docker.DockerClient, own_images: Registry
) -> None:
    with pytest.raises(ImageNotFound, match="abm-test/nothing is not on this machine"):
        pushed(shared_client, "abm-test/nothing", f"{own_images.address}/mine/e:1")


def test_cancel_ends_a_push_to_a_silent_registry(
    shared_client: docker.DockerClient,
    faulty_registry: FaultyRegistry,
    pusher: Pusher,
    own_images: Registry,
) -> None:
    noise = Layer.of_files({"noise": os.urandom(2_000_000)})
    pusher.push("own/noise", "1", [tiny_layer(), noise], run=tiny_run())
    name = f"{own_images.address}/own/noise:1"
    shared_client.images.pull(name)
    faulty_registry.fail(Fault(where="/blobs/", is_silent=True))
    target = ImageReference.parse(f"{faulty_registry.address}/other/f:1")
    cancel, begun = CancelToken(), list[float]()
    steps = push(shared_client.api, name, target, cancel=cancel)
    with contextlib.suppress(StopIteration):
        while next(steps).stalled_for < 0.4:
            pass

    def end() -> None:
        begun.append(time.monotonic())
        cancel.cancel("No longer wanted.")

    threading.Timer(0.1, end).start()
    with pytest.raises(Cancelled, match="No longer wanted"):
        ended(steps)

    assert time.monotonic() - begun[0] < 2


class TestLedger:
    def test_the_bar_weighs_layers_by_their_size_once_it_is_known(self) -> None:
        ledger = PushLedger(1000, at=0)
        for name in ("a", "b"):
            ledger.feed({"id": name, "status": "Preparing"}, 0)

        def pushing(name: str, current: int, total: int) -> float:
            detail = {"current": current, "total": total}
            ledger.feed({"id": name, "status": "Pushing", "progressDetail": detail}, 1)
            return ledger.progress().fraction or 0

        seen = [pushing("a", 0, 900), pushing("a", 450, 900), pushing("a", 920, 900)]
        ledger.feed({"id": "a", "status": "Pushed"}, 2)
        seen += [ledger.progress().fraction or 0, pushing("b", 50, 100)]
        ledger.feed({"id": "b", "status": "Layer already exists"}, 3)
        seen.append(ledger.progress().fraction or 0)

        assert seen == sorted(seen)
        assert seen[0] == 0
        assert seen[-1] == pytest.approx(0.99)
        assert ledger.progress().bytes_done == 950
