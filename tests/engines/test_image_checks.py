"""Looking for updates with a real registry: how often it is asked, and what engines are told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from accounts.refused import Refused
from engines import image_checks, updates
from engines.image_models import ASKING_SECONDS, ImageCheck
from engines.models import Engine
from hosts.models import Host
from hosts.oci.checker import Answer
from hosts.runners.base import ImageState
from jobs.models import Event, Job
from tests.engines.factories import make_engine, make_host
from tests.hosts.oci_registry import NO_REGISTRY, PROGRAM, Pushed, RealRegistry, real_registry

pytestmark = [
    pytest.mark.servers,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY),
]
MANIFESTS = "/manifests/"


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRegistry]:
    with real_registry(tmp_path) as started:
        yield started


@pytest.fixture
def host(data_dir: Path, transactional_db: None) -> Host:
    return make_host(host_type=Host.Type.DOCKER_LOCAL)


def engine_of(pushed: Pushed, host: Host, **values: Any) -> Engine:
    """An engine that runs what was pushed, pulled an hour ago."""
    reference = pushed.reference
    return make_engine(
        host=host,
        image=reference.name,
        tag=reference.tag,
        image_id=pushed.config_digest,
        image_found={
            "repo_digests": [f"{reference.name}@{pushed.digest}"],
            "platform": "linux/amd64",
            "pulled_at": (timezone.now() - timedelta(hours=1)).isoformat(),
        },
        **values,
    )


def fresh(engine: Engine) -> Engine:
    return Engine.objects.get(pk=engine.pk)


def row_of(engine: Engine) -> ImageCheck:
    row = image_checks.check_of(engine)
    assert row is not None
    return row


def check_all() -> None:
    """As the clock does it."""
    updates.check_updates([])


def press_check_now(engines: list[Engine] | None = None) -> None:
    """As a person does it, and then the worker."""
    updates.check_now(engines, user=None)
    asked = ImageCheck.objects.exclude(asked_at=None).values_list("pk", flat=True)
    updates.check_updates(list(asked))


def test_two_hundred_engines_on_twenty_images_take_twenty_requests(
    real: RealRegistry, host: Host
) -> None:
    pushed = [real.push(f"lab/e{number}:1", seed=number, layers=(50,)) for number in range(20)]
    engines = [engine_of(image, host) for image in pushed for _ in range(10)]
    before = len(real.requests(MANIFESTS))

    check_all()
    asked = len(real.requests(MANIFESTS)) - before
    check_all()
    asked_again = len(real.requests(MANIFESTS)) - before - asked

    assert (len(engines), asked, asked_again) == (200, 20, 0)
    assert not Engine.objects.exclude(update_digest="").exists()
    assert not Engine.objects.filter(update_checked_at=None).exists()


def test_a_tag_that_moved_on_is_an_update_and_is_told_once(real: RealRegistry, host: Host) -> None:
    old = real.push("lab/x:1", seed=1)
    engine = engine_of(old, host)
    new = real.push("lab/x:1", seed=2)

    press_check_now()
    press_check_now()

    assert fresh(engine).update_digest == new.digest
    assert fresh(engine).image_digest == old.digest
    assert fresh(engine).has_update
    assert list(updates.engines_with_updates()) == [engine]
    assert Event.objects.filter(text__contains="There is an update for").count() == 1


def test_what_is_current_has_no_update(real: RealRegistry, host: Host) -> None:
    amd = real.push("lab/x:amd")
    index = real.push_index("lab/x:1", {"linux/amd64": amd})
    engine = engine_of(Pushed(index.reference, amd.digest), host)

    check_all()

    assert not fresh(engine).has_update
    assert "is what" in fresh(engine).update_text
    assert row_of(engine).answer.remote is not None


def test_a_restart_asks_nothing_again_and_the_next_round_sends_the_etag(
    real: RealRegistry, host: Host, settings: Settings
) -> None:
    engine = engine_of(real.push("lab/x:1"), host)
    check_all()
    kept = row_of(engine)
    asked = len(real.requests(MANIFESTS))

    check_all()  # everything it knows comes from the row
    assert len(real.requests(MANIFESTS)) == asked

    hours = settings.UPDATE_CHECK_HOURS * 1.1 + 0.1
    long_ago = timezone.now() - timedelta(hours=hours)
    ImageCheck.objects.update(checked_at=long_ago)
    check_all()
    assert len(real.requests(" 304 ")) == 1
    assert row_of(engine).remote == kept.remote
    assert row_of(engine).checked_at > long_ago  # type: ignore[operator]


def test_images_come_due_at_different_moments(host: Host, settings: Settings) -> None:
    now = timezone.now()
    rows = [
        ImageCheck(reference=f"ghcr.io/lab/x{number}:1", checked_at=now) for number in range(20)
    ]

    waits = [row.due_at - now for row in rows if row.due_at]

    assert len(set(waits)) == 20
    assert min(waits) >= timedelta(hours=settings.UPDATE_CHECK_HOURS)
    assert max(waits) <= timedelta(hours=settings.UPDATE_CHECK_HOURS * 1.1)


def test_zero_hours_leave_asking_to_people(
    real: RealRegistry, host: Host, settings: Settings
) -> None:
    settings.UPDATE_CHECK_HOURS = 0
    engine = engine_of(real.push("lab/x:1"), host)

    check_all()
    assert image_checks.check_of(engine) is None

    press_check_now([engine])
    assert row_of(engine).checked_at is not None


def test_a_registry_that_is_gone_leaves_the_last_answer_and_its_reason(
    real: RealRegistry, host: Host
) -> None:
    engine = engine_of(real.push("lab/x:1", seed=1), host)
    real.push("lab/x:1", seed=2)
    check_all()
    before = fresh(engine)
    real.stop()

    press_check_now([engine])

    row = row_of(engine)
    assert fresh(engine).update_digest == before.update_digest != ""
    assert fresh(engine).update_checked_at == before.update_checked_at
    assert row.failure["code"] == "REGISTRY_UNREACHABLE"
    assert row.due_at is not None and row.due_at > timezone.now()
    assert not row.is_being_asked


def test_an_answer_from_before_the_pull_says_nothing_newer(real: RealRegistry, host: Host) -> None:
    engine = engine_of(real.push("lab/x:1", seed=1), host)
    check_all()
    new = real.push("lab/x:1", seed=2)
    pulled = ImageState(new.config_digest, (f"{new.reference.name}@{new.digest}",), "linux/amd64")

    image_checks.note_image(engine, pulled, is_pulled=True)
    assert not fresh(engine).has_update

    check_all()  # due by that alone
    assert fresh(engine).image_digest == new.digest
    assert "is what" in fresh(engine).update_text


def test_an_image_built_here_is_no_question(real: RealRegistry, host: Host) -> None:
    engine = engine_of(real.push("lab/x:1"), host)
    image_checks.note_image(engine, ImageState("sha256:" + "a" * 64, (), "linux/amd64"))

    assert updates.check_now([fresh(engine)], user=None) == 0
    check_all()

    assert not real.requests("/manifests/1 ")[1:]  # the push alone
    assert fresh(engine).is_built_here
    assert "built here" in fresh(engine).update_text


def test_an_image_that_nobody_runs_any_more_is_forgotten(real: RealRegistry, host: Host) -> None:
    engine = engine_of(real.push("lab/x:1"), host)
    check_all()
    engine.delete()

    check_all()

    assert not ImageCheck.objects.exists()


def test_an_image_is_not_asked_about_twice_at_once(host: Host) -> None:
    name = "ghcr.io/lab/x:1"
    assert len(image_checks.claim([name])) == 1
    assert image_checks.claim([name]) == []

    lost = timezone.now() - timedelta(seconds=ASKING_SECONDS + 1)
    ImageCheck.objects.update(asked_at=lost)
    assert len(image_checks.claim([name])) == 1


def test_an_answer_is_kept_whole(real: RealRegistry, host: Host) -> None:
    amd = real.push("lab/x:amd")
    arm = real.push("lab/x:arm", architecture="arm64", variant="v8")
    index = real.push_index("lab/x:1", {"linux/amd64": amd, "linux/arm64/v8": arm})
    engine = engine_of(index, host)
    real.push("lab/y:1")
    check_all()
    answer = row_of(engine).answer

    row = ImageCheck(reference="other")
    row.keep(answer)

    assert answer.remote is not None
    assert len(answer.remote.children or ()) == 2
    assert ImageCheck.objects.get(reference="other").answer == answer
    row.keep(Answer())
    assert ImageCheck.objects.get(reference="other").answer == Answer()


def test_engines_that_may_are_updated_after_a_check(real: RealRegistry, host: Host) -> None:
    wanted, other = (real.push(f"lab/{name}:1", seed=1) for name in "xy")
    engine = engine_of(wanted, host, auto_updates=True)
    engine_of(other, host)
    for name in "xy":
        real.push(f"lab/{name}:1", seed=2)

    check_all()

    assert [job.engine for job in Job.objects.filter(action=Job.Action.UPDATE)] == [engine]


def test_a_viewer_may_not_have_registries_asked(host: Host) -> None:
    viewer = User.objects.create_user("vera", role=User.Role.VIEWER)

    with pytest.raises(Refused):
        updates.check_now(None, user=viewer)
