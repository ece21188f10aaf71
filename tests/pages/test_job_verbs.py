"""Cancel and Retry."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks

from jobs.models import Job
from tests.engines.factories import make_engine
from tests.pages.factories import HTMX, make_job


def test_a_waiting_job_is_cancelled_at_once(operator: Client) -> None:
    job = make_job("queued")

    answer = operator.post(f"/jobs/{job.pk}/cancel/")

    assert answer.status_code == 302
    assert answer["Location"] == f"/jobs/{job.pk}/"
    job.refresh_from_db()
    assert job.status == Job.Status.CANCELLED


def test_a_running_job_is_asked_to_stop(operator: Client) -> None:
    job = make_job("running")

    answer = operator.post(f"/jobs/{job.pk}/cancel/", headers=HTMX)

    assert f'id="job-head-{job.pk}"' in answer.content.decode()
    assert "Cancelling" in answer.content.decode()
    job.refresh_from_db()
    assert job.is_cancelling


def test_a_row_of_the_list_gets_its_row_back(operator: Client) -> None:
    job = make_job("queued")

    answer = operator.post(
        f"/jobs/{job.pk}/cancel/", headers={**HTMX, "HX-Target": f"job-{job.pk}"}
    )

    assert answer.content.decode().lstrip().startswith(f'<tr id="job-{job.pk}"')


def test_a_job_that_ended_cannot_be_cancelled(operator: Client) -> None:
    job = make_job("succeeded")

    answer = operator.post(f"/jobs/{job.pk}/cancel/", headers=HTMX)

    assert answer.status_code == 409
    assert answer["HX-Retarget"] == "#messages"
    assert "has already ended" in answer.content.decode()


def test_retry_makes_a_new_job_and_goes_there(
    operator: Client,
    rung: list[tuple[str, list[int]]],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    engine = make_engine()
    job = make_job("failed", engine=engine, host=engine.host, params={"starts": True})

    with django_capture_on_commit_callbacks(execute=True):
        answer = operator.post(f"/jobs/{job.pk}/retry/", headers=HTMX)

    again = Job.objects.get(retry_of=job)
    assert again.params == {"starts": True}
    assert answer["HX-Redirect"] == f"/jobs/{again.pk}/"
    assert ("engines.run_job", [again.pk]) in rung


def test_retry_is_refused_while_the_engine_has_a_job(operator: Client) -> None:
    engine = make_engine()
    job = make_job("failed", engine=engine, host=engine.host)
    make_job("running", engine=engine, host=engine.host, action="start")

    answer = operator.post(f"/jobs/{job.pk}/retry/", headers=HTMX)

    assert answer.status_code == 409
    assert "still under way" in answer.content.decode()
    assert Job.objects.count() == 2


def test_retry_without_the_engine_points_to_the_catalog(operator: Client) -> None:
    job = make_job("failed")

    answer = operator.post(f"/jobs/{job.pk}/retry/")

    assert answer.status_code == 409
    assert "install it from the catalog" in answer.content.decode()


@pytest.mark.parametrize("verb", ["cancel", "retry"])
class TestBoth:
    def test_a_viewer_may_not(self, viewer: Client, verb: str) -> None:
        job = make_job("queued")

        answer = viewer.post(f"/jobs/{job.pk}/{verb}/")

        assert answer.status_code == 403
        job.refresh_from_db()
        assert job.status == Job.Status.QUEUED

    def test_it_needs_a_login(self, client: Client, db: None, verb: str) -> None:
        job = make_job("queued")

        answer = client.post(f"/jobs/{job.pk}/{verb}/")

        assert answer.status_code == 302
        assert "/login/" in answer["Location"]
        job.refresh_from_db()
        assert job.status == Job.Status.QUEUED

    def test_it_is_not_done_by_a_link(self, operator: Client, verb: str) -> None:
        job = make_job("queued")

        assert operator.get(f"/jobs/{job.pk}/{verb}/").status_code == 405

    def test_an_unknown_job_is_not_found(self, operator: Client, verb: str) -> None:
        assert operator.post(f"/jobs/999/{verb}/").status_code == 404

    def test_a_form_without_its_token_is_refused(self, operator: Client, verb: str) -> None:
        job = make_job("queued")
        operator.handler.enforce_csrf_checks = True

        assert operator.post(f"/jobs/{job.pk}/{verb}/").status_code == 403
        job.refresh_from_db()
        assert job.status == Job.Status.QUEUED
