"""Installing through abm from registries that fail: each ends in words, and can be done again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from lab.faults import Fault
from lab.fleet import Lab
from lab.made_images import ELF_ARM64
from lab.pushing import Layer
from tests.fleet.abm import SPEAKS_NOT, Ground, Row, ground, steps_of
from tests.fleet.soak import IS_SOAK

pytestmark = pytest.mark.fleet

MB = 10**6
PROMPTLY = 2.0
"""What a cancel may take, in seconds, also when nothing moves."""
LAST = 2
"""The place of the last layer in `offer(MB, MB)`: the tiny one lies lowest."""


@pytest.fixture(scope="module")
def shared(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Docker tries each layer once, so that a dead registry is told in a moment."""
    folder = tmp_path_factory.mktemp("abm")
    with ground(lab.place, folder, download_attempts=1) as made:
        yield made


@pytest.fixture
def it(shared: Ground) -> Iterator[Ground]:
    yield shared
    shared.door.heal()


def stalled(it: Ground, name: str) -> int:
    """An install that waits in the middle of the last layer; its job."""
    last = it.layers_of(name)[LAST]
    it.door.fail(Fault(last, method="GET", stalls_after=MB // 2))
    job = it.abm.install(name)
    it.abm.until(lambda: it.door.count(last, method="GET"))
    it.abm.until(lambda: it.abm.job(job).progress_done > MB)
    return job


def assert_failed_kindly(it: Ground, job: Row, name: str, words: str) -> None:
    """Failed with the reason in a sentence; nothing installs any more and nothing lies about."""
    assert job.status == "failed"
    assert words in job.error
    assert name in job.error
    assert job.finished_at
    assert it.abm.state(name) == "absent"
    assert it.is_nothing_left(name)


def test_a_registry_stopped_in_mid_pull_is_told_and_a_retry_brings_the_engine(it: Ground) -> None:
    (name,) = it.offer(MB, MB)
    job = stalled(it, name)

    it.door.stop()
    ended = it.abm.ended(job)

    assert_failed_kindly(it, ended, name, "Check that it runs")
    it.door.heal()
    it.door.start()
    again = it.abm.ended(it.abm.retried(job))
    assert (again.status, again.retry_of_id) == ("succeeded", job)
    assert it.abm.state(name) == "stopped"


def test_a_pull_that_stalls_is_cancelled_promptly_and_a_retry_goes_on_from_finished_layers(
    it: Ground,
) -> None:
    (name,) = it.offer(MB, MB)
    finished = "|".join(it.layers_of(name)[:LAST])
    job = stalled(it, name)
    it.abm.until(lambda: "Finished layers are kept" in it.abm.log(job))
    if IS_SOAK:
        it.abm.until(lambda: "Nothing has come for 60 seconds" in it.abm.log(job), 90)

    asked = it.door.count(finished, method="GET")
    began = time.monotonic()
    it.abm.post(f"/jobs/{job}/cancel/")
    ended = it.abm.ended(job)
    took = time.monotonic() - began
    it.door.heal()
    again = it.abm.ended(it.abm.retried(job))

    assert ended.status == "cancelled"
    assert took < PROMPTLY
    assert again.status == "succeeded"
    assert it.door.count(finished, method="GET") == asked
    assert again.progress_total in (None, 0) or again.progress_total < 2 * MB


REFUSALS = {
    "401": (Fault("manifests", status=401), "wants a login"),
    "404": (Fault("manifests", status=404), "does not have"),
    "429": (Fault("manifests", status=429), "too many requests"),
    "digest": (Fault("blobs", method="GET", corrupts=True), "arrived changed"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_a_registry_refuses_is_told_in_a_sentence(it: Ground, kind: str) -> None:
    fault, words = REFUSALS[kind]
    (name,) = it.offer(MB)
    it.door.fail(fault)

    job = it.abm.ended(it.abm.install(name))

    assert_failed_kindly(it, job, name, words)
    assert job.error_detail
    it.door.heal()
    assert it.abm.ended(it.abm.retried(job.pk)).status == "succeeded"


def test_an_image_for_another_architecture_is_refused_before_the_click(it: Ground) -> None:
    variant = {"tag": "latest", "platforms": ["linux/arm64"], "requires_gpu": False}
    (name,) = it.offer(variants=[variant])

    answer = it.abm.asked("/engines/install/", it.abm.wish(name))

    assert answer.status_code == 409
    assert "the image is for arm64, this host is amd64" in answer.text
    assert it.abm.state(name) == ""


def test_an_image_that_turns_out_to_be_for_another_architecture_is_not_kept(it: Ground) -> None:
    """The catalog says amd64, and the registry gives arm64."""
    name = "foreign"
    layer = Layer.of_files({"engine": ELF_ARM64 + os.urandom(8)}, executable={"engine"})
    run = {"Cmd": ["/engine"]}
    it.pusher.push(f"lab/{name}", "latest", [layer], run=run, architecture="arm64")
    it.shelf.offer(name, abm={"version": "1.0.0", **SPEAKS_NOT})
    it.abm.read_shelf()

    job = it.abm.ended(it.abm.install(name))

    assert_failed_kindly(it, job, name, "only for linux/arm64")
    assert "Tidy up" in steps_of(job)
