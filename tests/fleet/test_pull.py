"""Pulling with a real daemon from a real registry, whole and broken."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound as NoSuchImage

from hosts.oci.platforms import Platform
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from hosts.oci.sizes import ImageSizes, find_sizes
from hosts.runners.base import (
    DiskFull,
    HostUnreachable,
    ImageNotFound,
    InstallFailed,
    Progress,
    RunnerError,
)
from hosts.runners.docker.kept_layers import partial_images
from hosts.runners.docker.local_layers import cached_layers
from hosts.runners.docker.pull import PulledImage, pull
from jobs.outcome import Cancelled, CancelToken
from lab.faults import Fault, Login
from lab.faulty_registry import FaultyRegistry
from lab.own import OwnDaemon
from lab.pushing import Layer, Pusher
from tests.fleet.conftest import MakeDaemon
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet

AMD64 = Platform("linux", "amd64")
PROMPTLY = 2.0
"""What a cancel may take, in seconds, also when nothing moves."""
MB = 10**6


@pytest.fixture
def api(shared_client: docker.DockerClient) -> docker.APIClient:
    return shared_client.api


@dataclass
class Pulling:
    """A pull in a thread of its own, as a worker has it."""

    client: docker.APIClient
    reference: ImageReference
    more: dict[str, Any] = field(default_factory=dict)
    token: CancelToken = field(default_factory=CancelToken)
    told: list[tuple[float, Progress]] = field(default_factory=list)
    image: PulledImage | None = None
    error: BaseException | None = None
    ended_at: float = 0.0

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        pulling = pull(self.client, self.reference, cancel=self.token, **self.more)
        try:
            while True:
                self.told.append((time.monotonic(), next(pulling)))
        except StopIteration as end:
            self.image = end.value
        except (RunnerError, Cancelled) as error:
            self.error = error
        self.ended_at = time.monotonic()

    @property
    def last(self) -> Progress:
        return self.told[-1][1]

    @property
    def fractions(self) -> list[float]:
        return [progress.fraction or 0.0 for _, progress in self.told]

    def states(self) -> list[str]:
        return [layer.state for layer in self.last.layers] if self.told else []

    def end(self, seconds: float = 60) -> Pulling:
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "it does not end"
        return self


def pushed(pusher: Pusher, *sizes: int, base: tuple[Layer, ...] = ()) -> str:
    """An image that nobody has yet, a layer for each size in bytes; its name without registry."""
    name = f"test/{secrets.token_hex(4)}"
    pusher.push(name, "1", [*base, *(noise(size) for size in sizes)])
    return name


def noise(size: int) -> Layer:
    return Layer.of_files({f"data/{secrets.token_hex(8)}": secrets.token_bytes(size)})


def of(address: str, name: str) -> ImageReference:
    return ImageReference.parse(f"{address}/{name}:1")


def sizes_of(reference: ImageReference) -> ImageSizes:
    with Registry(reference.registry) as registry:
        return find_sizes(registry, reference, AMD64)


def has(client: docker.APIClient, reference: ImageReference) -> bool:
    try:
        client.inspect_image(reference.canonical)  # type: ignore[no-untyped-call]
    except NoSuchImage:
        return False
    return True


class TestWhole:
    def test_a_pull_brings_all_bytes_and_ends_at_one(
        self, api: docker.APIClient, pusher: Pusher
    ) -> None:
        reference = of(pusher.address, pushed(pusher, 3 * MB, 2 * MB, 500, MB))
        sizes = sizes_of(reference)
        pulling = Pulling(api, reference, {"sizes": sizes}).end()

        assert pulling.error is None
        assert pulling.fractions == sorted(pulling.fractions)
        assert pulling.fractions[0] < 0.1
        assert pulling.fractions[-1] == 1
        assert {progress.bytes_total for _, progress in pulling.told} == {sizes.compressed}
        assert pulling.last.bytes_done == pulling.last.bytes_unpacked == sizes.compressed
        assert pulling.image is not None
        assert pulling.image.id == sizes.config_digest
        assert pulling.image.digests == (f"{reference.name}@{sizes.digest}",)
        assert pulling.image.size > 6 * MB

    def test_an_image_that_is_there_takes_no_time_and_no_bytes(
        self, api: docker.APIClient, pusher: Pusher
    ) -> None:
        reference = of(pusher.address, pushed(pusher, MB))
        Pulling(api, reference).end()
        began = time.monotonic()
        pulling = Pulling(api, reference, {"sizes": sizes_of(reference)}).end()

        assert pulling.ended_at - began < 1
        assert pulling.image is not None
        assert pulling.image.was_here
        assert (pulling.last.fraction, pulling.last.bytes_total) == (1, 0)

    def test_layers_of_another_image_are_not_counted(
        self, api: docker.APIClient, pusher: Pusher
    ) -> None:
        base = noise(2 * MB)
        Pulling(api, of(pusher.address, pushed(pusher, base=(base,)))).end()
        reference = of(pusher.address, pushed(pusher, MB, base=(base,)))
        pulling = Pulling(api, reference, {"sizes": sizes_of(reference)}).end()

        assert pulling.states() == ["cached", "done"]
        assert pulling.last.bytes_cached == len(base.content)
        assert pulling.last.bytes_done == pulling.last.bytes_total
        assert pulling.last.bytes_total == sizes_of(reference).layers[1].size

    def test_layers_that_are_here_are_foretold(self, api: docker.APIClient, pusher: Pusher) -> None:
        base = (noise(MB), noise(2 * MB))
        Pulling(api, of(pusher.address, pushed(pusher, 5000, base=base))).end()
        sizes = sizes_of(of(pusher.address, pushed(pusher, MB, base=base)))
        foretold = cached_layers(api, sizes)
        pulling = Pulling(api, sizes.reference, {"sizes": sizes, "cached": foretold}).end()

        assert len(foretold) == 2
        assert {progress.bytes_total for _, progress in pulling.told} == {sizes.layers[2].size}

    def test_a_layer_that_lies_on_another_one_there_is_not_foretold(
        self, api: docker.APIClient, pusher: Pusher
    ) -> None:
        below, above = noise(MB), noise(MB)
        Pulling(api, of(pusher.address, pushed(pusher, base=(below, above)))).end()

        assert (
            cached_layers(api, sizes_of(of(pusher.address, pushed(pusher, base=(above,))))) == set()
        )

    def test_two_pulls_of_one_image_at_once_both_end_at_one(
        self, api: docker.APIClient, pusher: Pusher, faulty_registry: FaultyRegistry
    ) -> None:
        reference = of(faulty_registry.address, pushed(pusher, 2 * MB, MB))
        faulty_registry.fail(Fault("blobs", bytes_per_second=3 * MB))
        sizes = sizes_of(reference)
        both = [Pulling(api, reference, {"sizes": sizes}) for _ in range(2)]

        for pulling in both:
            assert pulling.end().error is None
            assert pulling.fractions == sorted(pulling.fractions)
            assert pulling.fractions[-1] == 1
        assert faulty_registry.count(sizes.layers[0].digest, method="GET") == 1

    def test_a_digest_is_pulled_as_that(self, api: docker.APIClient, pusher: Pusher) -> None:
        tagged = of(pusher.address, pushed(pusher, MB))
        exact = tagged.at(sizes_of(tagged).digest)
        pulling = Pulling(api, exact).end()

        assert pulling.image is not None
        assert pulling.image.digests == (exact.canonical,)

    def test_a_platform_is_chosen_from_an_index(
        self, api: docker.APIClient, pusher: Pusher
    ) -> None:
        name = f"test/{secrets.token_hex(4)}"
        digests = {
            machine: pusher.push(name, machine, [noise(1000)], architecture=machine)
            for machine in ("amd64", "arm64")
        }
        pusher.push_index(name, "1", digests)
        reference = of(pusher.address, name)
        pulling = Pulling(api, reference, {"platform": "linux/arm64"}).end()

        assert pulling.image is not None
        assert pulling.image.platform == "linux/arm64"
        other = Pulling(api, reference, {"platform": "linux/s390x"}).end()
        assert isinstance(other.error, ImageNotFound)
        assert "linux/s390x" in other.error.message


class TestCancel:
    @pytest.mark.parametrize(
        "fault",
        [
            Fault("manifests", is_silent=True),
            Fault("blobs", stalls_after=100_000),
            Fault("blobs", bytes_per_second=200_000),
        ],
        ids=["silent before the first word", "stalled in mid-layer", "slow"],
    )
    def test_it_takes_effect_at_once_and_docker_stops(
        self,
        api: docker.APIClient,
        pusher: Pusher,
        faulty_registry: FaultyRegistry,
        fault: Fault,
    ) -> None:
        reference = of(faulty_registry.address, pushed(pusher, 5 * MB, 4 * MB))
        faulty_registry.fail(fault)
        pulling = Pulling(api, reference)
        until(lambda: faulty_registry.in_flight and len(pulling.told) >= 2)
        cancelled_at = time.monotonic()
        pulling.token.cancel()
        pulling.end()

        assert isinstance(pulling.error, Cancelled)
        assert pulling.ended_at - cancelled_at < PROMPTLY
        assert not has(api, reference)
        faulty_registry.heal()
        until(lambda: not faulty_registry.in_flight, 5)
        asked = len(faulty_registry.asked)
        time.sleep(0.3)
        assert len(faulty_registry.asked) == asked, "Docker goes on pulling"
        again = Pulling(api, reference).end()
        assert again.error is None, "what was cancelled stands in the way"

    def test_a_stalled_pull_says_so_every_second_and_names_its_layers(
        self, api: docker.APIClient, pusher: Pusher, faulty_registry: FaultyRegistry
    ) -> None:
        reference = of(faulty_registry.address, pushed(pusher, 5 * MB))
        faulty_registry.fail(Fault("blobs", stalls_after=2 * MB))
        pulling = Pulling(api, reference, {"stall_notice": 1.0})
        until(lambda: pulling.told and pulling.last.stalled_for > 3.2)
        pulling.token.cancel()
        pulling.end()
        times = [at for at, _ in pulling.told]

        assert max(after - before for before, after in pairwise(times)) < 1
        assert sum("Nothing has come" in progress.line for _, progress in pulling.told) == 1
        assert [layer.state for layer in pulling.last.layers] == ["downloading"]
        assert pulling.last.seconds_left is None


class TestAgain:
    @pytest.mark.parametrize("way", ["cancelled", "failed"])
    def test_finished_layers_outlive_a_pull_that_ends_early(
        self, api: docker.APIClient, pusher: Pusher, faulty_registry: FaultyRegistry, way: str
    ) -> None:
        reference = of(faulty_registry.address, pushed(pusher, 2 * MB, MB, 3 * MB))
        sizes = sizes_of(reference)
        first, second, third = (layer.digest for layer in sizes.layers)
        wrong = Fault(third, corrupts=True, bytes_per_second=MB // 2)
        silent = Fault(third, stalls_after=MB)
        faulty_registry.fail(wrong if way == "failed" else silent)
        early = Pulling(api, reference, {"sizes": sizes})
        until(lambda: partial_images(api, reference))
        if way == "cancelled":
            early.token.cancel()
        early.end()
        assert isinstance(early.error, Cancelled if way == "cancelled" else InstallFailed)
        faulty_registry.heal()
        asked = faulty_registry.count(f"{first}|{second}", method="GET")
        again = Pulling(api, reference, {"sizes": sizes}).end()

        assert again.error is None
        assert again.states() == ["cached", "cached", "done"]
        assert again.last.bytes_total == sizes.layers[2].size
        assert faulty_registry.count(f"{first}|{second}", method="GET") == asked
        assert partial_images(api, reference) == [], "something of ours is left"

    def test_without_keeping_docker_forgets_them(
        self, api: docker.APIClient, pusher: Pusher, faulty_registry: FaultyRegistry
    ) -> None:
        """What kept_layers is for: once this fails, it can go."""
        reference = of(faulty_registry.address, pushed(pusher, MB, 3 * MB))
        faulty_registry.fail(Fault(sizes_of(reference).layers[1].digest, stalls_after=MB))
        early = Pulling(api, reference)
        until(lambda: early.states()[:1] == ["done"])
        early.token.cancel()
        early.end()
        faulty_registry.heal()
        again = Pulling(api, reference).end()

        assert again.states() == ["done", "done"]


REFUSALS = [
    (Fault("manifests", status=404), ImageNotFound, "does not have"),
    (Fault("manifests", status=401), RunnerError, "login"),
    (Fault("manifests", status=403), RunnerError, "login"),
    (Fault("manifests", status=429), InstallFailed, "too many requests"),
    (Fault("manifests", status=503), InstallFailed, "503"),
    (Fault("blobs", corrupts=True), InstallFailed, "arrived changed"),
]


class TestFailure:
    @pytest.mark.parametrize(
        ("fault", "kind", "words"), REFUSALS, ids=["404", "401", "403", "429", "503", "changed"]
    )
    def test_the_reason_of_the_registry_is_told_in_words(
        self,
        api: docker.APIClient,
        pusher: Pusher,
        faulty_registry: FaultyRegistry,
        fault: Fault,
        kind: type[RunnerError],
        words: str,
    ) -> None:
        reference = of(faulty_registry.address, pushed(pusher, MB))
        faulty_registry.fail(fault)
        pulling = Pulling(api, reference, {"host_name": "gpu-box"}).end()

        assert isinstance(pulling.error, kind)
        assert isinstance(pulling.error, RunnerError)
        assert pulling.error.message.startswith(f"{reference} was not pulled. ")
        assert words in pulling.error.message
        assert pulling.error.detail
        assert not has(api, reference)

    def test_a_registry_that_is_stopped_is_told_as_that(
        self, api: docker.APIClient, pusher: Pusher, faulty_registry: FaultyRegistry
    ) -> None:
        reference = of(faulty_registry.address, pushed(pusher, MB))
        faulty_registry.stop()
        pulling = Pulling(api, reference).end()

        assert isinstance(pulling.error, InstallFailed)
        assert faulty_registry.address in pulling.error.message

    def test_a_download_that_breaks_off_is_taken_up_again(
        self, api: docker.APIClient, pusher: Pusher, faulty_registry: FaultyRegistry
    ) -> None:
        """By Docker itself, after 5 s; the bar neither goes back nor claims what did not come."""
        reference = of(faulty_registry.address, pushed(pusher, 4 * MB))
        sizes = sizes_of(reference)
        faulty_registry.fail(Fault(sizes.layers[0].digest, cuts_after=MB, times=1))
        pulling = Pulling(api, reference, {"sizes": sizes}).end()
        retrying = [
            progress
            for _, progress in pulling.told
            if any(layer.state == "retrying" for layer in progress.layers)
        ]

        assert pulling.error is None
        assert pulling.fractions == sorted(pulling.fractions)
        assert max(progress.bytes_done or 0 for progress in retrying) <= 1.2 * MB
        assert pulling.last.bytes_done == sizes.compressed

    def test_a_login_is_needed_and_used(
        self, api: docker.APIClient, pusher: Pusher, faulty_registry: FaultyRegistry
    ) -> None:
        reference = of(faulty_registry.address, pushed(pusher, 1000))
        faulty_registry.login = Login("ann", "right")
        logins = [{"username": "ann", "password": word} for word in ("wrong", "right")]
        without, wrong, right = (
            Pulling(api, reference, {"auth": auth}).end() for auth in (None, *logins)
        )

        for refused in (without, wrong):
            assert isinstance(refused.error, RunnerError)
            assert "login" in refused.error.message
            assert "right" not in refused.error.detail
        assert right.error is None

    def test_a_daemon_that_dies_in_mid_pull_is_told_as_that(
        self, daemon: OwnDaemon, pusher: Pusher, faulty_registry: FaultyRegistry
    ) -> None:
        reference = of(faulty_registry.address, pushed(pusher, 5 * MB))
        faulty_registry.fail(Fault("blobs", stalls_after=MB))
        with contextlib.closing(daemon.client()) as client:
            pulling = Pulling(client.api, reference, {"host_name": "gpu-box"})
            until(lambda: pulling.states() == ["downloading"])
            daemon.kill()
            pulling.end(10)
        faulty_registry.heal()

        assert isinstance(pulling.error, HostUnreachable)
        assert "Docker on gpu-box" in pulling.error.message
        daemon.start()
        with contextlib.closing(daemon.client()) as client:
            assert Pulling(client.api, reference).end().error is None

    def test_a_full_disk_is_told_as_that_and_nothing_is_kept_on_it(
        self, make_daemon: MakeDaemon, pusher: Pusher
    ) -> None:
        daemon = make_daemon(data_megabytes=40)
        reference = of(pusher.address, pushed(pusher, 5 * MB, 25 * MB, 25 * MB))
        with contextlib.closing(daemon.client()) as client:
            sizes = {"sizes": sizes_of(reference), "host_name": "gpu-box"}
            pulling = Pulling(client.api, reference, sizes).end()

            assert isinstance(pulling.error, DiskFull)
            assert "The disk of gpu-box is full" in pulling.error.message
            assert partial_images(client.api) == []


def test_ten_pulls_at_once_all_end(api: docker.APIClient, pusher: Pusher) -> None:
    references = [of(pusher.address, pushed(pusher, 300_000, 200_000)) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        pulls: Iterator[Pulling] = pool.map(lambda one: Pulling(api, one).end(), references)

        assert [pulling.error for pulling in pulls] == [None] * 10
