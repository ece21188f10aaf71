"""A whole fleet is checked with one request per image, and no registry is asked too often."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from hosts.oci.checker import AT_ONCE_PER_REGISTRY, Question, check
from hosts.oci.digests import Verdict, judge
from hosts.oci.manifests import OCI_INDEX
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from tests.hosts.oci_checked import LEAF, NOON, any_manifest, check_one, held, played
from tests.hosts.oci_registry import NO_REGISTRY, PROGRAM, RealRegistry, digest, real_registry
from tests.hosts.oci_server import Asked, Told, small_server


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRegistry]:
    with real_registry(tmp_path) as started:
        yield started


@pytest.mark.servers
@pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)
def test_two_hundred_engines_on_twenty_images_take_twenty_requests(real: RealRegistry) -> None:
    """Half of the images are outdated and some of them are for many machines: it costs no more."""
    pushed = [real.push(f"lab/e{number}:1", seed=number, layers=(50,)) for number in range(10)]
    pushed += [
        real.push_index(f"lab/e{number}:many", {"linux/amd64": image})
        for number, image in enumerate(pushed)
    ]
    old = "sha256:" + "0" * 64
    questions = [
        Question(image.reference, (held(image.reference, image.digest if engine % 2 else old),))
        for engine in range(10)
        for image in pushed
    ]

    before = len(real.requests("/manifests/"))
    answers = check(questions, open_registry=Registry)
    asked = len(real.requests("/manifests/")) - before
    again = [replace(one, known=answers[one.reference]) for one in questions]
    check(again, open_registry=Registry)
    asked_again = len(real.requests("/manifests/")) - before - asked

    verdicts = Counter(
        judge(one.reference, one.held[0], answers[one.reference].remote).verdict
        for one in questions
    )
    assert len(questions) == 200
    assert verdicts == {Verdict.CURRENT: 100, Verdict.OUTDATED: 100}
    assert (asked, asked_again) == (20, 20)
    assert len(real.requests(" 304 ")) == 20


@pytest.mark.servers
@pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)
def test_a_leaf_is_current_under_an_index_that_names_it(real: RealRegistry) -> None:
    amd = real.push("lab/x:amd")
    index = real.push_index("lab/x:1", {"linux/amd64": amd})
    local = held(index.reference, amd.digest)

    answer = check_one(Question(index.reference, (local,)))
    real.push_index("lab/x:1", {"linux/amd64": amd}, note="published once more")
    later = check_one(Question(index.reference, (local,), answer))

    assert answer.remote != later.remote
    for one in (answer, later):
        assert judge(index.reference, local, one.remote).verdict is Verdict.CURRENT


@pytest.mark.servers
@pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)
def test_a_tag_that_moves_on_makes_the_image_outdated(real: RealRegistry) -> None:
    first = real.push("lab/x:1", seed=1)
    local = held(first.reference, first.digest)
    answer = check_one(Question(first.reference, (local,)))
    real.push("lab/x:1", seed=2)

    later = check_one(Question(first.reference, (local,), answer))

    assert judge(first.reference, local, answer.remote).verdict is Verdict.CURRENT
    assert judge(first.reference, local, later.remote).verdict is Verdict.OUTDATED


@pytest.mark.servers
@pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)
def test_a_registry_that_stops_leaves_the_last_answer_with_its_age(real: RealRegistry) -> None:
    pushed = real.push("lab/x:1")
    answer = check_one(Question(pushed.reference), at=NOON)
    real.stop()

    later = check_one(Question(pushed.reference, known=answer), at=NOON + timedelta(hours=2))

    assert later.remote == answer.remote
    assert later.remote is not None
    assert later.age(NOON + timedelta(hours=2)) == timedelta(hours=2)
    assert later.failure is not None
    assert later.failure.code == "REGISTRY_UNREACHABLE"


def test_no_registry_is_asked_more_than_four_things_at_once() -> None:
    waiting = threading.Barrier(AT_ONCE_PER_REGISTRY)

    def tells(asked: Asked) -> Told:
        waiting.wait(5)  # broken if fewer than four come together
        return any_manifest(asked)

    with played(tells) as (small, server):
        answers = check(small.questions(3 * AT_ONCE_PER_REGISTRY), open_registry=Registry)

    assert server.most_at_once == AT_ONCE_PER_REGISTRY
    assert all(answer.remote for answer in answers.values())


def test_two_registries_are_asked_side_by_side() -> None:
    both = threading.Barrier(2)

    def tells(asked: Asked) -> Told:
        both.wait(5)
        return any_manifest(asked)

    with played(tells) as (one, _), played(tells) as (other, _):
        answers = check([*one.questions(1), *other.questions(1)], open_registry=Registry)

    assert len(answers) == 2
    assert all(answer.failure is None for answer in answers.values())


@dataclass
class Hub:
    """Docker Hub's manners: asking for a digest is free, reading a manifest counts as a pull."""

    children: str = LEAF
    remaining: int = 90
    address: str = ""

    def __call__(self, asked: Asked) -> Told:
        if asked.path == "/v2/":
            return Told(200, b"{}")
        body = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_INDEX,
                "manifests": [
                    {
                        "digest": self.children,
                        "size": 1,
                        "platform": {"os": "linux", "architecture": "amd64"},
                    }
                ],
            }
        ).encode()
        headers = {
            "Docker-Content-Digest": digest(body),
            "Content-Type": OCI_INDEX,
            "ETag": f'"{digest(body)}"',
            "RateLimit-Remaining": f"{self.remaining};w=21600",
        }
        if asked.headers.get("If-None-Match") == headers["ETag"]:
            return Told(304, b"", headers)
        return Told(200, body, headers)

    def open(self, name: str) -> Registry:
        return Registry(name, address=self.address)


PYTHON = ImageReference.parse("python:3.11")


def test_docker_hub_is_read_only_where_the_digest_does_not_tell() -> None:
    hub = Hub()
    with small_server(hub) as server:
        hub.address = server.address
        plain = check([Question(PYTHON)], open_registry=hub.open)[PYTHON]
        assert (server.count("HEAD", "/manifests/"), server.count("GET", "/manifests/")) == (1, 0)

        local = held(PYTHON, LEAF)
        read = check([Question(PYTHON, (local,), plain)], open_registry=hub.open)[PYTHON]
        kept = check([Question(PYTHON, (local,), read)], open_registry=hub.open)[PYTHON]
        assert (server.count("HEAD", "/manifests/"), server.count("GET", "/manifests/")) == (3, 1)

    assert judge(PYTHON, local, plain.remote).verdict is Verdict.UNKNOWN
    assert judge(PYTHON, local, read.remote).verdict is Verdict.CURRENT
    assert kept.remote == read.remote


def test_the_last_pulls_of_docker_hub_are_left_to_installs() -> None:
    hub = Hub(remaining=3)
    with small_server(hub) as server:
        hub.address = server.address
        question = Question(PYTHON, (held(PYTHON, LEAF),))

        answer = check([question], open_registry=hub.open)[PYTHON]

        assert server.count("GET", "/manifests/") == 0
    assert answer.remote is not None
    assert answer.failure is None
