"""Asking images what they are on a real daemon; whatever happens, no container stays."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import docker
import pytest

from catalog.definition import EngineDefinition
from hosts.oci.reference import ImageReference
from hosts.runners.base import EngineFailed, ImageNotFound, Progress, RunnerError, StartFailed
from hosts.runners.docker.discover import (
    LABEL,
    OWNER_LABEL,
    UNTIL_LABEL,
    DiscoveredImage,
    discover,
)
from jobs.outcome import Cancelled, CancelToken
from lab.made_images import tiny_layer, tiny_run
from lab.pushing import Layer, Pusher
from lab.registry import Registry
from tests.fleet.building import ended, lines
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
DEPLOYMENT = "discover-test"


class Discoverer:
    """Asks images of the lab's registry, or of the test's own, on one daemon."""

    def __init__(self, client: docker.DockerClient, registry: str) -> None:
        self.client, self.registry = client, registry

    def steps(
        self, name: str, *, cancel: CancelToken | None = None, **how: Any
    ) -> Generator[Progress, None, DiscoveredImage]:
        whole = name if "/" in name else f"{self.registry}/lab/{name}"
        image = ImageReference.parse(whole)
        self.client.images.pull(image.name, tag=image.tag)
        return discover(
            self.client.api,
            image,
            deployment=DEPLOYMENT,
            cancel=cancel or CancelToken(),
            host_name="lab",
            **how,
        )

    def run(self, name: str, **how: Any) -> tuple[list[Progress], DiscoveredImage]:
        return ended(self.steps(name, **how))

    def failure(self, name: str, **how: Any) -> RunnerError:
        with pytest.raises(RunnerError) as raised:
            self.run(name, **how)
        return raised.value


@pytest.fixture
def discoverer(shared_client: docker.DockerClient, registry_address: str) -> Iterator[Discoverer]:
    yield Discoverer(shared_client, registry_address)

    until(lambda: not shared_client.containers.list(all=True, ignore_removed=True), 15)


class TestWhatIsLearned:
    def test_a_real_engine_gives_a_definition_that_the_catalog_takes(
        self, discoverer: Discoverer
    ) -> None:
        told, found = discoverer.run("espeak-ng:0.1.0")

        definition = EngineDefinition.model_validate(found.definition)
        assert definition.name == "espeak-ng"
        assert definition.engine_type == "tts"
        assert definition.models
        assert definition.default_model
        assert "0.1.0" in [variant.tag for variant in definition.variants]
        assert found.platform == "linux/amd64"
        assert (
            found.image_id
            == discoverer.client.images.get(f"{discoverer.registry}/lab/espeak-ng:0.1.0").id
        )
        assert list(dict.fromkeys(p.step for p in told)) == ["start", "wait", "ask"]
        assert "is espeak-ng, an engine of the type tts" in told[-1].line

    def test_variables_reach_the_image(self, discoverer: Discoverer) -> None:
        assert "ended before it answered" in discoverer.failure("needs-variable").message

        _, found = discoverer.run("needs-variable", environment={"LAB_TOKEN": "x"})

        assert found.definition["name"] == "needs-variable"

    def test_it_may_listen_on_another_port(self, discoverer: Discoverer) -> None:
        _, found = discoverer.run("tone", port=9123)

        assert found.port == 9123

    def test_it_is_reached_inside_a_network(self, discoverer: Discoverer) -> None:
        network = discoverer.client.networks.create("discover-test")
        try:
            _, found = discoverer.run("tone", network="discover-test")
        finally:
            network.remove()

        assert found.definition["name"] == "tone"


class TestWhatGoesWrong:
    def test_an_image_that_is_not_there_is_named(self, shared_client: docker.DockerClient) -> None:
        image = ImageReference.parse("abm-test/nothing:1")

        with pytest.raises(ImageNotFound, match="abm-test/nothing:1 is not on this machine"):
            ended(discover(shared_client.api, image, deployment=DEPLOYMENT, cancel=CancelToken()))

    def test_an_image_that_ends_is_told_at_once_with_its_last_words(
        self, discoverer: Discoverer
    ) -> None:
        begun = time.monotonic()

        failure = discoverer.failure("dies-at-once")

        assert isinstance(failure, EngineFailed)
        assert "ended before it answered. " in failure.message
        assert "No such file or directory: '/app/model/weights.bin'" in failure.message
        assert "Traceback" in failure.detail
        assert time.monotonic() - begun < 10

    def test_one_that_never_listens_is_given_up_after_the_limit(
        self, discoverer: Discoverer
    ) -> None:
        failure = discoverer.failure("never-listens", seconds=1.5)

        assert isinstance(failure, StartFailed)
        assert "did not answer /health within 1.5 seconds" in failure.message
        assert "by the form" in failure.message
        assert "starting, and never done with it" in failure.detail

    @pytest.mark.parametrize(
        ("pages", "sentence"),
        [
            ({"health": '{"status":"ready"}'}, "does not tell by /info what it is: it answered"),
            ({"health": '{"status":"ready"}', "info": "<html>"}, "its answer is no JSON"),
            ({"health": '{"status":"ready"}', "info": "[]"}, "not with a description of"),
            (
                {"health": '{"status":"ready"}', "info": '{"name":"x"}'},
                "nothing of its engine_type",
            ),
            ({"index.html": "hello"}, "it answers with status 404"),
        ],
    )
    def test_an_image_that_is_no_engine_is_to_be_registered_by_the_form(
        self,
        discoverer: Discoverer,
        pusher: Pusher,
        own_images: Registry,
        pages: dict[str, str],
        sentence: str,
    ) -> None:
        gone = {f"www/.wh.{name}": b"" for name in ("health", "info", "models")}
        there = {f"www/{name}": text.encode() for name, text in pages.items()}
        over = Layer.of_files(gone), Layer.of_files(there)
        pusher.push("own/web", "1", [tiny_layer(), *over], run=tiny_run())

        failure = discoverer.failure(f"{own_images.address}/own/web:1", seconds=2)

        assert sentence in failure.message
        assert "by the form" in failure.message

    def test_one_of_another_architecture_is_explained(self, discoverer: Discoverer) -> None:
        failure = discoverer.failure("foreign-arch")

        assert "ended before it answered" in failure.message
        assert "another architecture" in failure.message


class TestNothingStays:
    def test_cancel_ends_the_wait_also_for_one_that_ignores_sigterm(
        self, discoverer: Discoverer
    ) -> None:
        cancel, begun = CancelToken(), list[float]()
        steps = discoverer.steps("never-listens", cancel=cancel)
        while next(steps).step != "wait":
            pass

        def end() -> None:
            begun.append(time.monotonic())
            cancel.cancel("No longer wanted.")

        threading.Timer(0.3, end).start()
        with pytest.raises(Cancelled, match="No longer wanted"):
            ended(steps)

        assert time.monotonic() - begun[0] < 2

    def test_closing_the_generator_removes_the_container(self, discoverer: Discoverer) -> None:
        steps = discoverer.steps("never-listens")
        while next(steps).step != "wait":
            pass

        steps.close()

        assert discoverer.client.containers.list(all=True, ignore_removed=True) == []

    def test_leftovers_of_the_dead_are_removed_and_others_are_not(
        self, discoverer: Discoverer
    ) -> None:
        client = discoverer.client
        steps = discoverer.steps("never-listens")
        while next(steps).step != "wait":
            pass
        (alive,) = client.containers.list(all=True, ignore_removed=True)
        owner = alive.labels[OWNER_LABEL]
        dead = owner.replace(f"/{os.getpid()}-", "/4194305-")

        def left(**labels: str) -> str:
            image = f"{discoverer.registry}/lab/tone"
            return str(client.containers.create(image, labels=labels).id)

        future = str(int(time.time()) + 1000)
        orphan = left(**{LABEL: DEPLOYMENT, OWNER_LABEL: dead, UNTIL_LABEL: future})
        expired = left(**{LABEL: DEPLOYMENT, OWNER_LABEL: "other-machine/1-1", UNTIL_LABEL: "1"})
        waiting = left(**{LABEL: DEPLOYMENT, OWNER_LABEL: "other-machine/1-1", UNTIL_LABEL: future})
        foreign = left(**{LABEL: "another-abm", OWNER_LABEL: dead, UNTIL_LABEL: "1"})

        told, _ = discoverer.run("tone")

        ids = {container.id for container in client.containers.list(all=True, ignore_removed=True)}
        assert ids == {alive.id, waiting, foreign}
        assert orphan not in ids
        assert expired not in ids
        assert lines(told)
        steps.close()
        for container in (waiting, foreign):
            client.api.remove_container(container, force=True)
