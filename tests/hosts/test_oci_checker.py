"""A whole fleet is checked with one request per image, and no registry is asked too often."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hosts.oci.checker import AT_ONCE_PER_REGISTRY, LONGEST_WAIT, Answer, Question, check
from hosts.oci.digests import LocalImage, Verdict, judge
from hosts.oci.manifests import OCI_INDEX, OCI_MANIFEST
from hosts.oci.platforms import Platform
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from jobs.outcome import CancelToken
from tests.bundled.running import free_port
from tests.hosts.oci_registry import NO_REGISTRY, PROGRAM, RealRegistry, digest, real_registry
from tests.hosts.oci_server import Asked, SmallServer, Told, small_server

NOON = datetime(2025, 5, 1, 12, tzinfo=UTC)
AMD64 = Platform.parse("linux/amd64")
LEAF = "sha256:" + "1" * 64


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRegistry]:
    with real_registry(tmp_path) as started:
        yield started


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
        Question(image.reference, (_held(image.reference, image.digest if engine % 2 else old),))
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


@pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)
def test_a_leaf_is_current_under_an_index_that_names_it(real: RealRegistry) -> None:
    amd = real.push("lab/x:amd")
    index = real.push_index("lab/x:1", {"linux/amd64": amd})
    local = _held(index.reference, amd.digest)

    answer = _check(Question(index.reference, (local,)))
    real.push_index("lab/x:1", {"linux/amd64": amd}, note="published once more")
    later = _check(Question(index.reference, (local,), answer))

    assert answer.remote != later.remote
    for one in (answer, later):
        assert judge(index.reference, local, one.remote).verdict is Verdict.CURRENT


@pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)
def test_a_tag_that_moves_on_makes_the_image_outdated(real: RealRegistry) -> None:
    first = real.push("lab/x:1", seed=1)
    local = _held(first.reference, first.digest)
    answer = _check(Question(first.reference, (local,)))
    real.push("lab/x:1", seed=2)

    later = _check(Question(first.reference, (local,), answer))

    assert judge(first.reference, local, answer.remote).verdict is Verdict.CURRENT
    assert judge(first.reference, local, later.remote).verdict is Verdict.OUTDATED


@pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)
def test_a_registry_that_stops_leaves_the_last_answer_with_its_age(real: RealRegistry) -> None:
    pushed = real.push("lab/x:1")
    answer = _check(Question(pushed.reference), at=NOON)
    real.stop()

    later = _check(Question(pushed.reference, known=answer), at=NOON + timedelta(hours=2))

    assert later.remote == answer.remote
    assert later.remote is not None
    assert later.age(NOON + timedelta(hours=2)) == timedelta(hours=2)
    assert later.failure is not None
    assert later.failure.code == "REGISTRY_UNREACHABLE"


@dataclass
class Small:
    """A registry played by a small server: `tells` answers what is asked of an image."""

    tells: Callable[[Asked], Told]
    address: str = ""
    greeted: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Told:
        if asked.path == "/v2/":
            self.greeted.append(asked.path)
            return Told(200, b"{}")
        return self.tells(asked)

    def questions(self, count: int) -> list[Question]:
        names = [f"{self.address}/lab/x{number}:1" for number in range(count)]
        return [Question(ImageReference.parse(name)) for name in names]


@contextmanager
def played(tells: Callable[[Asked], Told]) -> Iterator[tuple[Small, SmallServer]]:
    small = Small(tells)
    with small_server(small) as server:
        small.address = server.address
        yield small, server


def _held(reference: ImageReference, found: str) -> LocalImage:
    return LocalImage((f"{reference.name}@{found}",), "", AMD64)


def _check(question: Question, *, at: datetime = NOON, is_wanted_now: bool = False) -> Answer:
    answers = check([question], open_registry=_opened, now=lambda: at, is_wanted_now=is_wanted_now)
    return answers[question.reference]


def _opened(name: str) -> Registry:
    return Registry(name, seconds=0.6)


def _manifest(asked: Asked) -> Told:
    body = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"digest": LEAF, "size": 1},
            "layers": [],
        }
    ).encode()
    return Told(200, body, {"Docker-Content-Digest": digest(body), "Content-Type": OCI_MANIFEST})


def test_no_registry_is_asked_more_than_four_things_at_once() -> None:
    waiting = threading.Barrier(AT_ONCE_PER_REGISTRY)

    def tells(asked: Asked) -> Told:
        waiting.wait(5)  # broken if fewer than four come together
        return _manifest(asked)

    with played(tells) as (small, server):
        answers = check(small.questions(3 * AT_ONCE_PER_REGISTRY), open_registry=Registry)

    assert server.most_at_once == AT_ONCE_PER_REGISTRY
    assert all(answer.remote for answer in answers.values())


def test_two_registries_are_asked_side_by_side() -> None:
    both = threading.Barrier(2)

    def tells(asked: Asked) -> Told:
        both.wait(5)
        return _manifest(asked)

    with played(tells) as (one, _), played(tells) as (other, _):
        answers = check([*one.questions(1), *other.questions(1)], open_registry=Registry)

    assert len(answers) == 2
    assert all(answer.failure is None for answer in answers.values())


def test_a_limit_ends_the_round_and_keeps_what_was_known() -> None:
    limited = Told(429, b"", {"Retry-After": "1800"})
    with played(_manifest) as (small, server):
        known = check(small.questions(12), open_registry=Registry, now=lambda: NOON)
        small.tells = lambda asked: limited
        before = server.count("GET", "/manifests/")
        questions = [Question(reference, (), answer) for reference, answer in known.items()]
        later = NOON + timedelta(hours=6)

        answers = check(questions, open_registry=Registry, now=lambda: later)
        asked = server.count("GET", "/manifests/") - before
        too_soon = [Question(reference, (), answer) for reference, answer in answers.items()]
        soon = later + timedelta(minutes=29)
        check(too_soon, open_registry=Registry, now=lambda: soon, is_wanted_now=True)
        asked_soon = server.count("GET", "/manifests/") - before - asked

    assert 1 <= asked <= AT_ONCE_PER_REGISTRY
    assert asked_soon == 0
    for reference, answer in answers.items():
        assert answer.remote == known[reference].remote
        assert answer.age(later) == timedelta(hours=6)
        assert answer.failure is not None
        assert answer.failure.code == "REGISTRY_RATE_LIMITED"
        assert timedelta(minutes=30) <= answer.failure.retry_at - later <= timedelta(minutes=38)
    assert any(
        "was not asked about" in one.failure.message for one in answers.values() if one.failure
    )


def test_the_waits_after_failures_grow_and_differ() -> None:
    with played(lambda asked: Told(500)) as (small, _server):
        question, moment, waits = small.questions(1)[0], NOON, []
        for _ in range(12):
            answer = _check(question, at=moment)
            assert answer.failure is not None
            waits.append(answer.failure.retry_at - moment)
            moment = answer.failure.retry_at
            question = replace(question, known=answer)

    assert question.known.failure is not None
    assert question.known.failure.times == 12
    assert timedelta(minutes=1) <= waits[0] <= timedelta(seconds=75)
    assert timedelta(minutes=2) <= waits[1] <= timedelta(seconds=150)
    assert max(waits) <= LONGEST_WAIT * 1.25
    assert len(set(waits)) == 12


def test_before_the_wait_is_over_only_who_asks_now_is_answered() -> None:
    with played(lambda asked: Told(500)) as (small, server):
        question = small.questions(1)[0]
        question = replace(question, known=_check(question))
        small.tells = _manifest

        kept = _check(question, at=NOON + timedelta(seconds=30))
        asked = _check(question, at=NOON + timedelta(seconds=30), is_wanted_now=True)

        assert server.count("GET", "/manifests/") == 2
    assert kept == question.known
    assert (asked.failure, asked.checked_at) == (None, NOON + timedelta(seconds=30))


def test_one_missing_image_stops_no_other() -> None:
    def tells(asked: Asked) -> Told:
        return Told(404) if "/x1/" in asked.path else _manifest(asked)

    with played(tells) as (small, _server):
        answers = check(small.questions(3), open_registry=Registry)

    codes = [answer.failure.code if answer.failure else "" for answer in answers.values()]
    assert sorted(codes) == ["", "", "IMAGE_NOT_FOUND"]


def test_a_dead_registry_is_tried_once_for_all_its_images() -> None:
    address = f"127.0.0.1:{free_port()}"
    references = [ImageReference.parse(f"{address}/lab/x{number}:1") for number in range(20)]

    answers = check([Question(one) for one in references], open_registry=_opened)

    assert {answer.failure.code for answer in answers.values() if answer.failure} == {
        "REGISTRY_UNREACHABLE"
    }
    for reference, answer in answers.items():
        assert answer.failure is not None
        assert f"was not asked about {reference}" in answer.failure.message


def test_a_silent_registry_costs_its_time_once() -> None:
    with small_server(lambda asked: Told(is_silent=True)) as server:
        references = [ImageReference.parse(f"{server.address}/lab/x{n}:1") for n in range(20)]
        answers = check([Question(one) for one in references], open_registry=_opened)

        assert len(server.asked) == 1
    assert all(answer.failure for answer in answers.values())


def test_a_cancelled_round_asks_no_further() -> None:
    cancel = CancelToken()

    def tells(asked: Asked) -> Told:
        cancel.cancel()
        return _manifest(asked)

    with played(tells) as (small, server):
        answers = check(small.questions(40), open_registry=Registry, cancel=cancel)

        assert server.count("GET", "/manifests/") <= AT_ONCE_PER_REGISTRY
    assert len(answers) == 40
    assert any(answer == Answer() for answer in answers.values())


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

        local = _held(PYTHON, LEAF)
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
        question = Question(PYTHON, (_held(PYTHON, LEAF),))

        answer = check([question], open_registry=hub.open)[PYTHON]

        assert server.count("GET", "/manifests/") == 0
    assert answer.remote is not None
    assert answer.failure is None
