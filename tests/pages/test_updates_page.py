"""What pages show of updates, and what their buttons ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from engines.image_models import ImageCheck
from engines.models import Engine
from hosts.models import Host
from jobs.models import Job
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import HTMX, make_job

pytestmark = pytest.mark.django_db
S = Engine.State
OLD, NEW = ("sha256:" + digit * 64 for digit in "12")
NAME = "ghcr.io/lab/tone"


def make_image_engine(**values: Any) -> Engine:
    """An engine in a container for which there is something newer."""
    defaults: dict[str, Any] = {
        "image": NAME,
        "tag": "latest",
        "image_id": OLD,
        "image_digest": OLD,
        "image_found": {"repo_digests": [f"{NAME}@{OLD}"], "platform": "linux/amd64"},
        "update_digest": NEW,
        "update_text": "There is a newer ghcr.io/lab/tone:latest in the registry.",
        "update_checked_at": timezone.now(),
    }
    if "host" not in values:
        defaults["host"] = make_host(host_type=Host.Type.DOCKER_LOCAL)
    return make_engine(**{**defaults, **values})


def tab_of(client: Client, engine: Engine) -> str:
    return client.get(f"/engines/{engine.pk}/?tab=updates").content.decode()


def post(client: Client, path: str, **values: Any) -> str:
    answer = client.post(path, values, headers=HTMX)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def test_the_tab_names_both_digests_and_when_it_was_checked(operator: Client) -> None:
    page = tab_of(operator, make_image_engine())

    assert OLD in page
    assert NEW in page
    assert "There is a newer" in page
    assert "Update by itself" in page
    assert "Roll back</summary>" not in page


def test_an_engine_built_here_is_unknown_and_has_no_button(operator: Client) -> None:
    engine = make_image_engine(
        image_found={"repo_digests": [], "platform": "linux/amd64"}, update_digest=""
    )

    page = tab_of(operator, engine)

    assert "Unknown, built here" in page
    assert f"/engines/{engine.pk}/update/" not in page
    assert f"/engines/{engine.pk}/check-updates/" not in page


def test_an_engine_without_an_image_has_no_such_tab(operator: Client) -> None:
    engine = make_engine()

    assert "tab=updates" not in operator.get(f"/engines/{engine.pk}/").content.decode()
    assert "engine-updates" not in tab_of(operator, engine)


def test_a_failed_check_says_why_and_how_old_the_answer_is(operator: Client) -> None:
    engine = make_image_engine()
    now = timezone.now()
    ImageCheck.objects.create(
        reference=f"{NAME}:latest",
        remote={"digest": NEW, "is_index": False, "config_digest": "", "children": None},
        checked_at=now - timedelta(hours=7),
        failure={
            "code": "REGISTRY_RATE_LIMITED",
            "message": "ghcr.io wants to be left alone for 12 minutes.",
            "detail": "toomanyrequests",
            "at": now.isoformat(),
            "retry_at": (now + timedelta(minutes=12)).isoformat(),
            "times": 1,
        },
    )

    page = tab_of(operator, engine)

    assert "ghcr.io wants to be left alone for 12 minutes." in page
    assert "What stands here was true" in page
    assert "abm asks again" in page
    assert NEW in page


def test_a_viewer_sees_the_tab_without_buttons(viewer: Client) -> None:
    engine = make_image_engine(previous_image_id=OLD)

    page = tab_of(viewer, engine)

    assert "There is a newer" in page
    assert "hx-post" not in page.split('id="engine-updates"')[1]


def test_check_now_rings_a_worker_and_says_that_it_asks(
    operator: Client, rung: list[tuple[str, list[int]]], django_capture_on_commit_callbacks: Any
) -> None:
    engine = make_image_engine()

    with django_capture_on_commit_callbacks(execute=True):
        part = post(operator, f"/engines/{engine.pk}/check-updates/")

    row = ImageCheck.objects.get()
    assert "The registry is being asked" in part
    assert rung == [("engines.check_updates", [row.pk])]


def test_update_and_roll_back_are_jobs(operator: Client) -> None:
    engine = make_image_engine(previous_image_id=OLD)

    assert "Update" in post(operator, f"/engines/{engine.pk}/update/")
    Job.objects.update(status=Job.Status.SUCCEEDED)
    post(operator, f"/engines/{engine.pk}/rollback/")

    assert list(Job.objects.values_list("action", flat=True)) == ["rollback", "update"]


def test_the_switch_for_updates_by_itself_is_kept(operator: Client) -> None:
    engine = make_image_engine()

    post(operator, f"/engines/{engine.pk}/auto-updates/", auto="on")
    engine.refresh_from_db()
    assert engine.auto_updates

    post(operator, f"/engines/{engine.pk}/auto-updates/")
    engine.refresh_from_db()
    assert not engine.auto_updates


def test_the_list_marks_updates_and_can_be_narrowed_to_them(viewer: Client) -> None:
    engine = make_image_engine(display_name="Newer voice")
    make_image_engine(display_name="Held back", skipped_digest=NEW)
    make_engine(display_name="Current voice")

    page = viewer.get("/engines/?update=1").content.decode()

    assert f'id="engine-update-{engine.pk}"' in page
    assert "Newer voice" in page
    assert "Held back" not in page
    assert "Current voice" not in page
    assert page.count('title="There is a newer') == 1


def test_the_dashboard_counts_updates_in_one_row(operator: Client, viewer: Client) -> None:
    host = make_host(host_type=Host.Type.DOCKER_LOCAL)
    for name in ("Ada", "Bea", "Cid", "Dan", "Eve"):
        make_image_engine(display_name=name, host=host)
    busy = make_image_engine(display_name="Fay", host=host)
    make_job("running", action="update", engine=busy)

    page = operator.get("/").content.decode()

    assert "5 updates: Ada, Bea, Cid and 2 more." in page
    assert "Update all" in page
    assert "Update all" not in viewer.get("/").content.decode()


def test_update_all_updates_all_that_can_be(operator: Client) -> None:
    for name in ("Ada", "Bea"):
        make_image_engine(display_name=name)
    make_engine()

    answer = operator.post("/engines/update-all/", headers=HTMX)

    assert answer.status_code == 204
    assert Job.objects.filter(action="update").count() == 2


def test_update_all_says_what_was_left_out(operator: Client) -> None:
    make_image_engine(display_name="Ada", image_found={"repo_digests": []})

    answer = operator.post("/engines/update-all/", headers=HTMX)

    assert "Ada was built or loaded here." in answer.content.decode()
    assert answer["HX-Retarget"] == "#messages"


def test_those_that_were_ticked_are_started_and_the_rest_is_told(operator: Client) -> None:
    sleeping, running = make_engine(), make_engine(state=S.RUNNING)
    busy = make_engine(display_name="Busy")
    make_job("running", action="test", engine=busy, subject="Busy on This machine")

    said = post(operator, "/engines/many/", verb="start", engine=[sleeping.pk, running.pk, busy.pk])

    assert f"{sleeping} is being started." in said
    assert "Test Busy on This machine is still under way" in said
    assert Job.objects.get(action="start").engine == sleeping


def test_nothing_ticked_is_said(operator: Client) -> None:
    assert "Choose engines first." in post(operator, "/engines/many/", verb="stop")


def test_an_unknown_verb_for_many_is_refused(operator: Client) -> None:
    answer = operator.post("/engines/many/", {"verb": "uninstall", "engine": [1]}, headers=HTMX)

    assert answer.status_code == 409


@pytest.mark.parametrize(
    "path", ["{}/check-updates/", "{}/update/", "{}/rollback/", "{}/auto-updates/"]
)
def test_a_viewer_may_change_nothing(viewer: Client, path: str) -> None:
    engine = make_image_engine(previous_image_id=OLD)

    answer = viewer.post(f"/engines/{path.format(engine.pk)}")

    assert answer.status_code == 403
    assert not Job.objects.exists()


@pytest.mark.parametrize("path", ["many/", "update-all/", "check-updates/"])
def test_a_viewer_may_not_change_many(viewer: Client, path: str) -> None:
    make_image_engine()

    assert viewer.post(f"/engines/{path}", {"verb": "start"}).status_code == 403
    assert not Job.objects.exists()


@pytest.mark.parametrize("path", ["many/", "update-all/", "check-updates/"])
def test_it_needs_a_login(client: Client, path: str) -> None:
    assert "/login/" in client.post(f"/engines/{path}")["Location"]
