"""Updating and rolling back: what is kept, what is gone back to, and who may ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.refused import Refused
from engines import idle, updates
from engines.image_checks import judge_engine
from engines.image_models import ImageCheck
from engines.models import Engine
from engines.recovery import recover
from engines.services import install_engine, start_engine
from hosts.models import Host
from hosts.oci.checker import Answer
from hosts.oci.digests import RemoteImage
from hosts.runners.base import ImageState, StartFailed
from hosts.runners.fake import FakeHost, FakeRunner
from hosts.runners.registry import RUNNERS
from jobs import services as job_services
from jobs.models import Job
from tests.engines.conftest import Do
from tests.engines.factories import make_engine, make_host, make_variant
from tests.engines.speaking import SpeakingEngine, speaking_engine
from tests.hosts.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)
S = Engine.State
NAME = "registry.example/lab/tone"


def number(digit: str) -> str:
    return "sha256:" + digit * 64


def image(digit: str) -> ImageState:
    return ImageState(number(digit), (f"{NAME}@{number(digit)}",), "linux/amd64")


@dataclass
class Fleet:
    """A Docker host in memory, whose engines answer for real; version 2 is out."""

    fake: FakeHost
    host: Host
    old: SpeakingEngine
    new: SpeakingEngine
    engine: Engine

    def fresh(self) -> Engine:
        return Engine.objects.select_related("host", "variant__entry__source").get(
            pk=self.engine.pk
        )

    def runs(self) -> str:
        """The digit of the image that runs; empty if none does."""
        held = self.fake.engines[self.engine.name]
        return held.image_id[-1] if held.port else ""

    def offer(self, digit: str, url: str = "") -> None:
        """Let the registry have another image, and a check find it."""
        self.fake.offered[f"{NAME}:latest"] = image(digit)
        self.fake.urls[number(digit)] = url or self.new.url
        answer = Answer(RemoteImage(number(digit)), f'"{digit}"', timezone.now())
        row, _ = ImageCheck.objects.get_or_create(reference=f"{NAME}:latest")
        row.keep(answer)
        judge_engine(self.fresh(), answer)

    def update(self) -> Job:
        return updates.update_engine(self.fresh(), user=None)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost()
    monkeypatch.setitem(RUNNERS, Host.Type.DOCKER_LOCAL, lambda setup: FakeRunner(fake))
    return fake


@pytest.fixture
def fleet(data_dir: object, transactional_db: None, fake: FakeHost, do: Do) -> Iterator[Fleet]:
    with ExitStack() as stack:
        old = stack.enter_context(speaking_engine())
        new = stack.enter_context(speaking_engine(models=("one", "two", "three")))
        host = make_host(host_type=Host.Type.DOCKER_LOCAL)
        variant = make_variant(name="tone")
        variant.image = NAME
        variant.save()
        fake.offered[f"{NAME}:latest"] = image("1")
        fake.urls[number("1")] = old.url
        job = do(install_engine(variant, host=host, user=None))
        assert job.status == Job.Status.SUCCEEDED, job.error
        fleet = Fleet(fake, host, old, new, Engine.objects.get(host=host))
        fleet.offer("2")
        yield fleet


def started(fleet: Fleet, do: Do, *, model: str = "") -> Engine:
    job = start_engine(fleet.fresh(), user=None, model=model)
    assert job is not None
    assert do(job).status == Job.Status.SUCCEEDED, job.error
    return fleet.fresh()


def step_keys(job: Job) -> list[str]:
    return [step["key"] for step in job.steps]


def test_an_install_notes_the_image_and_what_is_newer(fleet: Fleet) -> None:
    engine = fleet.fresh()

    assert engine.image_id == engine.image_digest == number("1")
    assert engine.update_digest == number("2")
    assert engine.has_update
    assert "newer" in engine.update_text


def test_an_update_of_a_running_engine_ends_with_the_new_one_running(fleet: Fleet, do: Do) -> None:
    started(fleet, do, model="two")

    job = do(fleet.update())

    engine = fleet.fresh()
    assert job.status == Job.Status.SUCCEEDED, job.error
    assert step_keys(job) == ["fetch", "mark", "stop", "start", "answer", "load", "test"]
    assert fleet.runs() == "2"
    assert engine.state == S.RUNNING
    assert engine.loaded_model == "two"
    assert engine.test_passed
    assert (engine.image_id, engine.previous_image_id) == (number("2"), number("1"))
    assert not engine.has_update
    assert engine.engine_models.count() == 3


def test_the_old_one_serves_while_the_new_one_is_pulled(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    fleet.fake.holds_install = True
    job = fleet.update()
    worker = threading.Thread(target=do, args=(job,))
    worker.start()

    until(lambda: Job.objects.get(pk=job.pk).steps)
    assert fleet.runs() == "1"
    assert fleet.fresh().state == S.RUNNING

    fleet.fake.holds_install = False
    worker.join(10)
    assert fleet.runs() == "2"


def test_an_engine_that_was_stopped_is_tested_and_stopped_again(fleet: Fleet, do: Do) -> None:
    job = do(fleet.update())

    assert job.status == Job.Status.SUCCEEDED, job.error
    assert step_keys(job)[-2:] == ["test", "stop"]
    assert fleet.fresh().state == S.STOPPED
    assert fleet.runs() == ""
    assert fleet.fresh().image_id == number("2")


def test_what_a_user_has_set_survives_an_update(fleet: Fleet, do: Do) -> None:
    kept: dict[str, Any] = {
        "parameters": {"speed": 1.5},
        "environment": {"TOKEN": "x"},
        "keep_running": True,
        "is_default": True,
        "default_language": "de",
        "auto_updates": True,
        "idle_minutes": 7,
        "limits": {"cpus": 1.0},
        "mounts": [{"source": "voices", "target": "/voices", "is_read_only": True}],
    }
    Engine.objects.filter(pk=fleet.engine.pk).update(**kept)
    do(start_engine(fleet.fresh(), user=None))
    fleet.engine.engine_models.update(is_default=False)
    fleet.engine.engine_models.filter(name="two").update(is_default=True)

    assert do(fleet.update()).status == Job.Status.SUCCEEDED

    engine = fleet.fresh()
    assert {name: getattr(engine, name) for name in kept} == kept
    assert engine.engine_models.get(is_default=True).name == "two"


def test_the_definition_follows_the_catalog_and_comes_back_with_a_rollback(
    fleet: Fleet, do: Do
) -> None:
    entry = fleet.fresh().variant.entry  # type: ignore[union-attr]
    entry.version, entry.parameters = "2.0", {"tempo": {"type": "float", "default": 1.0}}
    entry.save()

    do(fleet.update())
    after = fleet.fresh()
    do(updates.roll_back_engine(after, user=None))
    back = fleet.fresh()

    assert (after.version, list(after.definition["parameters"])) == ("2.0", ["tempo"])
    assert (back.version, sorted(back.definition["parameters"])) == ("1.0", ["pitch", "speed"])


def test_a_new_image_that_does_not_start_is_left_by_itself(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    fleet.fake.bad_images[number("2")] = StartFailed("Tone ended: no module named torch.")

    job = do(fleet.update())

    engine = fleet.fresh()
    assert job.status == Job.Status.FAILED
    assert job.error == (
        "Tone was not updated: Tone ended: no module named torch. The old version runs again."
    )
    assert [step["key"] for step in job.steps if step.get("is_failed")] == ["start"]
    assert fleet.runs() == "1"
    assert engine.state == S.RUNNING
    assert (engine.image_id, engine.previous_image_id) == (number("1"), "")
    assert engine.skipped_digest == engine.update_digest == number("2")
    assert not engine.has_update


def test_a_new_image_that_does_not_pass_its_test_is_left_by_itself(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    with speaking_engine(is_mute=True) as mute:
        fleet.offer("3", mute.url)
        job = do(fleet.update())

    assert job.status == Job.Status.FAILED
    assert "silence. The old version runs again." in job.error
    assert fleet.runs() == "1"
    assert fleet.fresh().state == S.RUNNING


def test_a_stopped_engine_stays_stopped_when_its_update_fails(fleet: Fleet, do: Do) -> None:
    fleet.fake.bad_images[number("2")] = StartFailed("Tone ended.")

    job = do(fleet.update())

    assert job.error.endswith("The old version is in place again.")
    assert fleet.fresh().state == S.STOPPED
    assert fleet.fresh().image_id == number("1")


def test_an_old_one_that_does_not_start_again_either_is_said(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    for digit in "12":
        fleet.fake.bad_images[number(digit)] = StartFailed(f"Image {digit} is broken.")

    job = do(fleet.update())

    assert "Image 2 is broken. The old version is in place again, but does not run" in job.error
    assert "Image 1 is broken." in job.error
    assert fleet.fresh().state == S.FAILED
    assert fleet.fresh().image_id == number("1")


def test_a_failed_pull_leaves_what_runs_alone(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    fleet.fake.fails["install"] = StartFailed("registry.example asks for a login.")

    job = do(fleet.update())

    assert job.error == "registry.example asks for a login."
    assert fleet.runs() == "1"
    assert fleet.fresh().state == S.RUNNING
    assert fleet.fresh().has_update


def test_a_cancel_during_the_pull_leaves_what_runs_alone(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    fleet.fake.holds_install = True
    job = fleet.update()
    worker = threading.Thread(target=do, args=(job,))
    worker.start()
    until(lambda: Job.objects.get(pk=job.pk).steps)

    job_services.cancel_job(job, user=None)
    worker.join(10)

    job.refresh_from_db()
    assert job.status == Job.Status.CANCELLED
    assert fleet.runs() == "1"
    assert fleet.fresh().state == S.RUNNING


def test_a_cancel_while_the_new_one_starts_goes_back_to_the_old_one(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    fleet.fake.urls[number("2")] = "http://127.0.0.1:9"  # nobody answers there
    job = fleet.update()
    worker = threading.Thread(target=do, args=(job,))
    worker.start()
    until(lambda: "answer" in step_keys(Job.objects.get(pk=job.pk)))

    job_services.cancel_job(job, user=None)
    worker.join(10)

    job.refresh_from_db()
    assert job.status == Job.Status.CANCELLED
    assert fleet.runs() == "1"
    assert fleet.fresh().state == S.RUNNING
    assert fleet.fresh().image_id == number("1")
    assert fleet.fresh().skipped_digest == ""


def test_an_update_waits_for_a_request_under_way(fleet: Fleet, do: Do) -> None:
    token = idle.begin_use(started(fleet, do))
    job = fleet.update()
    worker = threading.Thread(target=do, args=(job,))
    worker.start()
    until(lambda: "quiet" in step_keys(Job.objects.get(pk=job.pk)))
    assert fleet.runs() == "1"

    idle.end_use(fleet.fresh(), token)
    worker.join(10)

    assert fleet.runs() == "2"


def test_a_rollback_starts_the_previous_image_and_holds_the_newer_one_back(
    fleet: Fleet, do: Do
) -> None:
    started(fleet, do)
    updates.set_auto_updates(fleet.fresh(), is_on=True, user=None)
    do(fleet.update())

    job = do(updates.roll_back_engine(fleet.fresh(), user=None))

    engine = fleet.fresh()
    assert job.status == Job.Status.SUCCEEDED, job.error
    assert fleet.runs() == "1"
    assert (engine.image_id, engine.previous_image_id) == (number("1"), "")
    assert engine.update_digest == engine.skipped_digest == number("2")
    assert not engine.has_update
    assert updates.update_idle() == []

    fleet.offer("3")
    assert [job.action for job in updates.update_idle()] == [Job.Action.UPDATE]


def test_a_rollback_to_an_image_that_is_gone_changes_nothing(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    do(fleet.update())
    del fleet.fake.images[number("1")]

    job = do(updates.roll_back_engine(fleet.fresh(), user=None))

    assert job.status == Job.Status.FAILED
    assert "no longer on" in job.error
    assert fleet.runs() == "2"


def test_a_rollback_that_fails_goes_back_to_what_ran(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    do(fleet.update())
    fleet.fake.bad_images[number("1")] = StartFailed("Its model is gone.")

    job = do(updates.roll_back_engine(fleet.fresh(), user=None))

    assert "was not rolled back: Its model is gone. The version of before runs again" in job.error
    assert fleet.runs() == "2"
    assert fleet.fresh().previous_image_id == number("1")


@dataclass
class Kill(BaseException):
    """As if the worker were killed here: nothing tidies up."""


def killed_at(verb: str, fleet: Fleet, do: Do, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Run an update until a runner's verb, where the worker dies; then the sweep finds it."""
    job = fleet.update()

    def die(*args: object, **options: object) -> None:
        raise Kill

    with monkeypatch.context() as patch:
        patch.setattr(FakeRunner, verb, die)
        with pytest.raises(Kill):
            do(job)
    Job.objects.filter(pk=job.pk).update(status=Job.Status.RUNNING, finished_at=None, error="")
    job.refresh_from_db()
    assert job_services.end_lost_job(job)
    recover(job)
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("verb", ["stop", "start"])
def test_a_worker_killed_in_mid_update_leaves_the_old_version_and_says_so(
    fleet: Fleet, do: Do, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    started(fleet, do)

    job = killed_at(verb, fleet, do, monkeypatch)

    assert "abm was stopped" in job.error
    assert f"is 1.0 ({number('1')[:19]}) again" in job.error
    assert fleet.fresh().image_id == number("1")
    again = Job.objects.get(engine=fleet.engine, status=Job.Status.QUEUED)
    assert again.action == Job.Action.START
    assert do(again).status == Job.Status.SUCCEEDED
    assert fleet.runs() == "1"


def test_a_worker_killed_during_the_pull_leaves_what_runs(
    fleet: Fleet, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(fleet, do)

    job = killed_at("install", fleet, do, monkeypatch)

    assert "still is 1.0" in job.error
    assert fleet.runs() == "1"
    assert fleet.fresh().state == S.RUNNING


def test_both_versions_can_be_started_after_a_kill(
    fleet: Fleet, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = killed_at("start", fleet, do, monkeypatch)
    assert do(start_engine(fleet.fresh(), user=None)).status == Job.Status.SUCCEEDED
    assert fleet.runs() == "1"

    again = do(job_services.retry_job(job, user=None))

    assert again.status == Job.Status.SUCCEEDED, again.error
    assert fleet.runs() == "2"


def test_an_engine_built_here_has_no_update(fleet: Fleet) -> None:
    Engine.objects.filter(pk=fleet.engine.pk).update(image_found={"repo_digests": []})

    with pytest.raises(Refused) as refused:
        fleet.update()

    assert refused.value.code == "BUILT_HERE"


def test_without_a_newer_image_an_update_is_refused(fleet: Fleet) -> None:
    Engine.objects.filter(pk=fleet.engine.pk).update(update_digest="")

    with pytest.raises(Refused, match="Check now"):
        fleet.update()


def test_a_rollback_without_a_previous_image_is_refused(fleet: Fleet) -> None:
    with pytest.raises(Refused) as refused:
        updates.roll_back_engine(fleet.fresh(), user=None)

    assert refused.value.code == "NO_WAY_BACK"


def test_updates_by_themselves_leave_alone_what_is_used(fleet: Fleet, do: Do) -> None:
    started(fleet, do)
    assert updates.update_idle() == []  # off by default
    updates.set_auto_updates(fleet.fresh(), is_on=True, user=None)

    fleet.old.status = "processing"
    assert updates.update_idle() == []
    fleet.old.status = "ready"
    Engine.objects.filter(pk=fleet.engine.pk).update(
        busy_until=timezone.now() + timedelta(minutes=1)
    )
    assert updates.update_idle() == []

    Engine.objects.filter(pk=fleet.engine.pk).update(busy_until=None)
    assert [job.action for job in updates.update_idle()] == [Job.Action.UPDATE]
    assert updates.update_idle() == []  # one is under way


def test_several_engines_are_asked_at_once_and_refusals_are_told(fleet: Fleet) -> None:
    local = make_engine(display_name="Piper")

    many = updates.do_many([fleet.fresh(), local], verb="update", user=None)

    assert many.done == [fleet.engine]
    assert many.text == ("Tone is being updated. Piper runs from no image that could be updated.")


def test_what_already_runs_is_not_started_again(fleet: Fleet, do: Do) -> None:
    running = started(fleet, do)

    many = updates.do_many([running], verb="start", user=None)

    assert (many.done, many.refused) == ([], [])
