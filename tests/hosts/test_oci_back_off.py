"""A registry that fails or has had enough is left alone, and what was known is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hosts.oci.checker import AT_ONCE_PER_REGISTRY, LONGEST_WAIT, Answer, Question, check
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from jobs.outcome import CancelToken
from tests.bundled.running import free_port
from tests.hosts.oci_checked import NOON, any_manifest, check_one, opened, played
from tests.hosts.oci_server import Asked, Told, small_server


def test_a_limit_ends_the_round_and_keeps_what_was_known() -> None:
    limited = Told(429, b"", {"Retry-After": "1800"})
    with played(any_manifest) as (small, server):
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
            answer = check_one(question, at=moment)
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
        question = replace(question, known=check_one(question))
        small.tells = any_manifest

        kept = check_one(question, at=NOON + timedelta(seconds=30))
        asked = check_one(question, at=NOON + timedelta(seconds=30), is_wanted_now=True)

        assert server.count("GET", "/manifests/") == 2
    assert kept == question.known
    assert (asked.failure, asked.checked_at) == (None, NOON + timedelta(seconds=30))


def test_one_missing_image_stops_no_other() -> None:
    def tells(asked: Asked) -> Told:
        return Told(404) if "/x1/" in asked.path else any_manifest(asked)

    with played(tells) as (small, _server):
        answers = check(small.questions(3), open_registry=Registry)

    codes = [answer.failure.code if answer.failure else "" for answer in answers.values()]
    assert sorted(codes) == ["", "", "IMAGE_NOT_FOUND"]


def test_a_dead_registry_is_tried_once_for_all_its_images() -> None:
    address = f"127.0.0.1:{free_port()}"
    references = [ImageReference.parse(f"{address}/lab/x{number}:1") for number in range(20)]

    answers = check([Question(one) for one in references], open_registry=opened)

    assert {answer.failure.code for answer in answers.values() if answer.failure} == {
        "REGISTRY_UNREACHABLE"
    }
    for reference, answer in answers.items():
        assert answer.failure is not None
        assert f"was not asked about {reference}" in answer.failure.message


def test_a_silent_registry_costs_its_time_once() -> None:
    with small_server(lambda asked: Told(is_silent=True)) as server:
        references = [ImageReference.parse(f"{server.address}/lab/x{n}:1") for n in range(20)]
        answers = check([Question(one) for one in references], open_registry=opened)

        assert len(server.asked) == 1
    assert all(answer.failure for answer in answers.values())


def test_a_cancelled_round_asks_no_further() -> None:
    cancel = CancelToken()

    def tells(asked: Asked) -> Told:
        cancel.cancel()
        return any_manifest(asked)

    with played(tells) as (small, server):
        answers = check(small.questions(40), open_registry=Registry, cancel=cancel)

        assert server.count("GET", "/manifests/") <= AT_ONCE_PER_REGISTRY
    assert len(answers) == 40
    assert any(answer == Answer() for answer in answers.values())
