"""What an event says on the stream: the contract's names, keys and order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from abm.events_codes import SSH_CODES
from abm.events_frames import Frame, frames_of, progress_frames
from abm.events_hub import MOST_REPLAYED, QUEUE, Subscriber, missed_since, newest_id
from abm.events_ticks import health_frame, status_frame
from engines.models import Engine
from engines.state import change_state
from engines.stored_settings import set_category
from hosts.models import Host
from hosts.ssh import errors
from jobs.events import announce
from jobs.models import Event, Job
from tests.engines.factories import make_engine
from tests.pages.factories import make_job

pytestmark = pytest.mark.django_db
S = Engine.State


def told() -> list[tuple[str, dict[str, Any]]]:
    return [(frame.event, frame.payload) for frame in frames_of(list(Event.objects.order_by("pk")))]


def names() -> list[str]:
    return [name for name, _ in told()]


def on_docker(engine: Engine) -> Engine:
    host = Host.objects.create(
        host_id="docker:local",
        host_type=Host.Type.DOCKER_LOCAL,
        display_name="Docker",
        state=Host.State.AVAILABLE,
    )
    Engine.objects.filter(pk=engine.pk).update(host=host, image="ghcr.io/x/tiny", tag="1")
    return Engine.objects.select_related("host").get(pk=engine.pk)


def test_a_start_is_starting_then_the_model_then_started() -> None:
    engine = make_engine(state=S.STOPPED)
    change_state(engine, S.STARTING)
    engine.port = 9001
    Engine.objects.filter(pk=engine.pk).update(port=9001)
    change_state(engine, S.LOADING)
    change_state(engine, S.RUNNING, loaded_model="small", package_version="0.52")

    who = {
        "engineType": engine.engine_type,
        "engineName": engine.name,
        "variantId": engine.address,
    }
    assert told() == [
        ("engine.starting", who),
        ("engine.changed", {**who, "state": "loading"}),
        ("engine.model_loaded", {**who, "loadedModel": "small"}),
        ("engine.started", {**who, "status": "running", "port": 9001, "version": "0.52"}),
    ]


@pytest.mark.parametrize(
    ("reason", "stopping", "stopped"),
    [("manual", "manual", "manual"), ("inactivity", "auto_stop", "inactivity")],
)
def test_a_stop_says_why_in_the_words_of_each_event(
    reason: str, stopping: str, stopped: str
) -> None:
    engine = make_engine(state=S.RUNNING)
    change_state(engine, S.STOPPING, reason=reason)
    change_state(engine, S.STOPPED, reason=reason)

    (first, one), (second, two) = told()
    assert (first, one["reason"]) == ("engine.stopping", stopping)
    assert (second, two["reason"], two["status"]) == ("engine.stopped", stopped, "stopped")


def test_a_crash_is_a_stop_and_an_error() -> None:
    change_state(make_engine(state=S.RUNNING), S.FAILED, error="It ended: signal 9.")

    (first, one), (second, two) = told()
    assert (first, one["reason"]) == ("engine.stopped", "error")
    assert (second, two["error"]) == ("engine.error", "It ended: signal 9.")


def test_the_end_of_an_install_is_no_stop() -> None:
    engine = make_engine(state=S.INSTALLING)
    change_state(engine, S.STOPPED)

    assert "engine.stopped" not in names()


def test_what_is_told_later_is_what_was_then() -> None:
    engine = make_engine(state=S.STOPPED)
    change_state(engine, S.STARTING)
    first = told()
    change_state(engine, S.FAILED, error="No.")
    Engine.objects.all().delete()

    assert told()[: len(first)] == first


def test_a_pull_begins_moves_and_ends_in_the_contracts_words() -> None:
    engine = on_docker(make_engine(state=S.ABSENT))
    job = make_job("running", engine=engine, host=engine.host, percent=12.4)
    announce("jobs", "job.changed", pk=job.pk, status=Job.Status.RUNNING)
    announce("jobs", "job.changed", pk=job.pk, status=Job.Status.SUCCEEDED)
    announce("jobs", "job.changed", pk=job.pk, status=Job.Status.CANCELLED)

    found = [one for one in told() if one[0].startswith("docker.image")]
    variant = {"variantId": engine.address}
    image = {"imageName": "ghcr.io/x/tiny:1", "hostId": "docker:local"}
    assert found == [
        ("docker.image.installing", {**variant, **image}),
        ("docker.image.installed", {**variant, "isInstalled": True}),
        ("docker.image.cancelled", variant),
    ]


def test_a_pull_is_told_in_steps_of_two_percent() -> None:
    engine = on_docker(make_engine(state=S.ABSENT))
    job = make_job(engine=engine, host=engine.host)
    job.transfer = {"layers": [["abc", "extracting", 1, 2]]}
    shares: dict[int, int] = {}

    seen = []
    for percent in (0.2, 1.9, 2.1, 3.9, 10):
        job.percent = percent
        job.save()
        for frame in progress_frames({job.pk}, after=7, shares=shares):
            if frame.event == "docker.image.progress":
                seen.append(frame.payload["progressPercent"])
                assert frame.payload["status"] == "extracting"
                assert frame.payload["currentLayer"] == "abc"
                assert frame.id == 7

    assert seen == [0, 2, 10]


def test_a_failed_pull_says_what_went_wrong() -> None:
    engine = on_docker(make_engine(state=S.ABSENT))
    job = make_job("failed", engine=engine, host=engine.host, error="No such image.")
    announce("jobs", "job.changed", pk=job.pk, status=Job.Status.FAILED)

    name, payload = told()[-1]
    assert name == "docker.image.error"
    assert (payload["error"], payload["operation"]) == ("No such image.", "install")


def test_engines_that_are_processes_have_no_images() -> None:
    engine = make_engine()
    announce("jobs", "job.changed", pk=make_job(engine=engine).pk, status=Job.Status.RUNNING)

    assert names() == ["job.changed"]


def test_an_uninstall_is_told_from_both_ends() -> None:
    engine = on_docker(make_engine(state=S.STOPPED))
    change_state(engine, S.UNINSTALLING)
    announce("engines", "engine.removed", pk=1, variant=engine.address, is_docker=True)

    assert ("docker.image.uninstalling", {"variantId": engine.address}) in told()
    assert told()[-1] == (
        "docker.image.uninstalled",
        {"variantId": engine.address, "isInstalled": False},
    )


@pytest.mark.parametrize(
    ("state", "name", "keys"),
    [
        (
            Host.State.AVAILABLE,
            "docker.host.connected",
            {"hostId", "dockerVersion", "os", "isAvailable", "hasGpu"},
        ),
        (
            Host.State.UNREACHABLE,
            "docker.host.disconnected",
            {"hostId", "reason", "errorCode", "isAvailable"},
        ),
        (Host.State.STARTING, "docker.host.connecting", {"hostId", "attempt"}),
    ],
)
def test_a_host_is_connected_lost_or_connecting(state: str, name: str, keys: set[str]) -> None:
    host = on_docker(make_engine()).host
    announce("hosts", "host.changed", pk=host.pk, host=host.host_id, state=state, was="x")

    (found, payload) = told()[0]
    assert found == name
    assert set(payload) == keys


@pytest.mark.parametrize(
    ("code", "told_as"),
    [
        ("SSH_NAME_UNKNOWN", "DNS_FAILED"),
        ("SSH_KEY_REFUSED", "SSH_AUTH_FAILED"),
        ("SSH_HOST_KEY_CHANGED", "SSH_CONNECTION_FAILED"),
        ("SSH_SILENT", "CONNECTION_TIMEOUT"),
        ("", "CONNECTION_LOST"),
    ],
)
def test_why_a_host_is_lost_is_told_in_the_contracts_codes(code: str, told_as: str) -> None:
    host = on_docker(make_engine()).host
    ids = {"host": host.host_id, "state": Host.State.UNREACHABLE, "was": "available"}
    announce("hosts", "host.changed", pk=host.pk, **ids, **({"code": code} if code else {}))

    assert told()[0][1]["errorCode"] == told_as


def test_every_failure_of_ssh_has_one_of_the_contracts_codes() -> None:
    codes = {getattr(one, "code", "") for one in vars(errors).values() if isinstance(one, type)}

    assert {code for code in codes if str(code).startswith("SSH_")} == set(SSH_CODES)


def test_settings_carry_their_new_value() -> None:
    set_category("languages", {"allowedLanguages": ["fr"]}, user=None)

    assert told() == [
        ("settings.updated", {"key": "languages", "value": {"allowedLanguages": ["fr"]}})
    ]


def test_the_status_tick_tells_of_transitions_instead_of_overwriting_them() -> None:
    make_engine(state=S.STARTING)

    payload = status_frame(5).payload

    rows = [row for rows in payload["engines"].values() for row in rows]
    assert [row["status"] for row in rows] == ["starting"]
    assert set(rows[0]) == {
        "variantId",
        "isEnabled",
        "isRunning",
        "status",
        "secondsUntilAutoStop",
        "port",
    }
    assert list(payload["engines"]) == ["tts", "text", "stt", "audio"]
    assert {"hasTtsEngine", "hasTextEngine", "hasSttEngine", "hasAudioEngine"} <= set(payload)


def test_health_is_what_the_api_answers() -> None:
    assert {"status", "database", "ttsEngines", "busy", "activeJobs"} <= set(
        health_frame(1).payload
    )


def test_a_frame_has_its_type_inside_and_on_request_outside() -> None:
    change_state(make_engine(state=S.STOPPED), S.STARTING)
    event = Event.objects.get()
    frame = frames_of([event])[0]

    plain, typed = frame.text(), frame.text(is_typed=True)

    head, body = plain.split("\n", 1)
    data = json.loads(body.removeprefix("data: "))
    assert head == f"id: {event.pk}"
    assert (data["event"], data["_channel"]) == ("engine.starting", "engines")
    assert data["_timestamp"].endswith("Z")
    assert typed.splitlines()[1] == "event: engine.starting"


def test_only_the_last_frame_of_an_event_has_its_id() -> None:
    """So that who is cut off between two of them hears the second when it comes back."""
    change_state(make_engine(state=S.RUNNING), S.FAILED, error="It died.")
    event = Event.objects.get()

    stopped, failed = frames_of([event])

    assert (stopped.event, failed.event) == ("engine.stopped", "engine.error")
    assert (stopped.id, failed.id) == (event.pk - 1, event.pk)
    again = missed_since(stopped.id, newest_id()).replay
    assert [frame.event for frame in again] == ["engine.stopped", "engine.error"]


def test_who_knows_an_id_that_never_was_is_told_that_it_missed_something() -> None:
    """As after a backup was restored: the numbers begin anew where that ended."""
    change_state(make_engine(state=S.STOPPED), S.STARTING)

    begun = missed_since(newest_id() + 40, newest_id())

    assert begun.missed is not None
    assert (begun.replay, begun.last) == ([], newest_id())


def test_what_was_missed_comes_again_unless_it_is_too_much_or_gone() -> None:
    engine = make_engine(state=S.STOPPED)
    for state in (S.STARTING, S.RUNNING, S.STOPPING, S.STOPPED):
        change_state(engine, state)
    first = Event.objects.order_by("pk")[0].pk

    begun = missed_since(first, newest_id())

    assert [frame.event for frame in begun.replay] == [
        "engine.started",
        "engine.stopping",
        "engine.stopped",
    ]
    assert begun.missed is None
    Event.objects.filter(pk__lte=first + 1).delete()
    assert missed_since(first - 1, newest_id()).missed == 4
    many = [Event(topic="x", name="x.y", origin="t") for _ in range(MOST_REPLAYED + 1)]
    Event.objects.bulk_create(many)
    assert missed_since(newest_id() - MOST_REPLAYED - 1, newest_id()).replay == []


def test_a_slow_client_has_a_bounded_queue_and_is_counted_out() -> None:
    frame = Frame("jobs", "job.changed", {}, timezone.now(), 1)
    slow = Subscriber(frozenset({"jobs"}))

    for _ in range(QUEUE + 3):
        slow.put(frame)

    assert slow.frames.qsize() == QUEUE
    assert slow.missed == 3
