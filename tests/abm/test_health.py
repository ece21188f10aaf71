"""What machines ask: /readyz, /metrics, and the id of a request in answers and log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest
from django.core.management.base import CommandError
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from abm import readiness
from abm.logs import formatter
from abm.traces import TraceMiddleware
from jobs.exposition import Family, Histogram, text_of
from jobs.models import Job, Process

pytestmark = pytest.mark.django_db


@pytest.fixture
def apart(settings: Settings) -> None:
    """As with Redis; of Redis itself the tests on real processes ask."""
    settings.IS_EMBEDDED = False
    settings.REDIS_URL = "redis://127.0.0.1:1/0"


def process(role: str, **more: object) -> None:
    values = {"name": f"1-{role}", "machine": "box", "version": "1", "started_at": Now()}
    Process.objects.create(role=role, seen_at=Now(), **(values | more))


def _newer() -> bool:
    raise CommandError("The database is newer.")


def test_ready_without_its_threads_is_not_ready(client: Client) -> None:
    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "ok"
    assert answer.json()["checks"]["migrations"] == "ok"
    assert answer.json()["checks"]["worker"] == "none works"


@pytest.mark.parametrize(
    ("is_behind", "told"),
    [(lambda: True, "missing"), (lambda: False, "ok"), (_newer, "newer than this abm")],
)
def test_tables_that_are_not_those_of_this_abm_are_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch, is_behind: Callable[[], bool], told: str
) -> None:
    monkeypatch.setattr(readiness, "is_behind", is_behind)
    monkeypatch.setitem(readiness.CHECKS, "migrations", readiness._Migrations())

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] == told


def test_processes_of_their_own_are_asked_for(client: Client, apart: None) -> None:
    process("worker")
    process("link", is_standby=True)

    checks = client.get("/readyz").json()["checks"]

    assert (checks["worker"], checks["link"]) == ("ok", "none works")
    assert checks["redis"] == "does not answer"


def test_all_parts_at_work_are_ready(
    client: Client, apart: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    process("worker")
    process("link")
    monkeypatch.setitem(readiness.CHECKS, "redis", lambda: "ok")

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


def test_figures_are_for_those_who_may_see_them(client: Client, settings: Settings) -> None:
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401

    settings.METRICS_TOKEN = "let me in"

    assert client.get("/metrics", headers={"Authorization": "Bearer let"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer let me in"}).status_code == 200


def test_jobs_and_processes_are_counted(viewer: Client) -> None:
    now = timezone.now()
    job = {"action": "sync", "task": "t", "subject": "s"}
    Job.objects.create(**job)
    Job.objects.create(**job, status="succeeded", started_at=now, finished_at=now)
    process("worker")

    text = viewer.get("/metrics").content.decode()

    assert 'abm_jobs{status="queued"} 1' in text
    assert 'abm_jobs_last_day{action="sync",status="succeeded"} 1' in text
    assert 'abm_processes{role="worker",version="1",standby="false"} 1' in text
    assert "# TYPE abm_data_free_bytes gauge" in text


def test_labels_are_escaped_and_families_without_figures_left_out() -> None:
    family = Family("abm_x", "Something.")
    family.add(1.5, name='a "b"\\\n')
    family.add(None, name="unknown")

    assert text_of([family, Family("abm_y", "Nothing.")]) == (
        '# HELP abm_x Something.\n# TYPE abm_x gauge\nabm_x{name="a \\"b\\"\\\\\\n"} 1.5\n'
    )


def test_a_histogram_counts_what_is_below_each_end() -> None:
    took = Histogram()
    took.observe(0.02, method="GET")
    took.observe(99, method="GET")

    text = text_of([took.family("abm_t", "Time.")])

    assert 'abm_t_bucket{method="GET",le="0.01"} 0' in text
    assert 'abm_t_bucket{method="GET",le="0.025"} 1' in text
    assert 'abm_t_bucket{method="GET",le="+Inf"} 2' in text
    assert 'abm_t_count{method="GET"} 2' in text


@pytest.mark.parametrize(("given", "kept"), [("proxy-4711-abc", True), ("x\ny injected", False)])
def test_an_answer_bears_the_id_of_its_request(client: Client, given: str, kept: bool) -> None:
    answer = client.get("/readyz", headers={"X-Request-ID": given})

    assert (answer.headers["X-Request-ID"] == given) is kept


def test_a_line_of_the_log_bears_the_id_of_the_request(rf: object) -> None:
    said: list[str] = []

    def view(request: object) -> object:
        record = logging.LogRecord("abm", logging.INFO, "f", 1, "here", None, None)
        said.append(formatter("json").format(record))
        return Client().get("/readyz")

    request = rf.get("/", headers={"X-Request-ID": "proxy-4711"})  # type: ignore[attr-defined]
    TraceMiddleware(view)(request)  # type: ignore[arg-type]

    assert json.loads(said[0])["request"] == "proxy-4711"
