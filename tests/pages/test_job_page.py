"""One job's page: how far, which steps, what it wrote, what now."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from engines.models import Engine
from jobs.queries import LINES_SHOWN
from tests.engines.factories import make_engine
from tests.pages.factories import make_job, write_lines


def text_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_bar_tells_percent_bytes_speed_and_time_left(viewer: Client) -> None:
    job = make_job(
        percent=40,
        progress_unit="bytes",
        progress_done=40_000_000,
        progress_total=100_000_000,
        rate=6_000_000,
    )

    page = text_of(viewer, f"/jobs/{job.pk}/")

    for words in ("40 %", "40 MB of 100 MB", "6.0 MB/s", "10 s left"):
        assert words in page, words


def test_a_bar_without_a_number_is_open_ended(viewer: Client) -> None:
    job = make_job(percent=0)

    page = text_of(viewer, f"/jobs/{job.pk}/")

    assert '<progress max="100" aria-label' in page


def test_steps_show_how_long_each_took(viewer: Client) -> None:
    now = timezone.now()
    step = {
        "key": "venv",
        "title": "Make the environment",
        "started_at": (now - timedelta(seconds=75)).isoformat(),
        "finished_at": now.isoformat(),
    }
    job = make_job(steps=[step])

    page = text_of(viewer, f"/jobs/{job.pk}/")

    assert "Make the environment" in page
    assert "1 min 15 s" in page


def test_a_failure_shows_its_sentence_and_folds_the_raw_text(viewer: Client) -> None:
    job = make_job("failed", error="The disk is full.", error_detail="ENOSPC <28>")

    page = text_of(viewer, f"/jobs/{job.pk}/")

    assert "The disk is full." in page
    assert "ENOSPC &lt;28&gt;" in page


def test_a_gap_in_the_log_is_told(viewer: Client) -> None:
    job = make_job("succeeded")
    write_lines(job, 1, 2, 9)

    assert "6 lines skipped" in text_of(viewer, f"/jobs/{job.pk}/")


def test_a_long_log_begins_with_how_much_came_before(viewer: Client) -> None:
    job = make_job("succeeded")
    write_lines(job, *range(1, LINES_SHOWN + 11))

    page = text_of(viewer, f"/jobs/{job.pk}/")

    assert "10 earlier lines" in page
    assert f"after={LINES_SHOWN + 10}" in page


def test_the_whole_log_can_be_downloaded(viewer: Client) -> None:
    job = make_job("failed", error="No room.")
    write_lines(job, 1, 2, 9)

    answer = viewer.get(f"/jobs/{job.pk}/log/")
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]

    assert answer["Content-Type"].startswith("text/plain")
    assert f'filename="job-{job.pk}.log"' in answer["Content-Disposition"]
    assert "line 1\n" in text
    assert "… 6 lines skipped …" in text
    assert "No room." in text


def test_a_done_install_leads_to_trying_the_engine(viewer: Client) -> None:
    engine = make_engine(state=Engine.State.RUNNING)
    job = make_job("succeeded", engine=engine, host=engine.host)

    page = text_of(viewer, f"/jobs/{job.pk}/")

    assert f"/engines/{engine.pk}/?tab=try" in page
    assert "Try it" in page


def test_a_job_whose_engine_is_gone_still_has_a_page(operator: Client) -> None:
    job = make_job("failed", error="Lost.")

    page = text_of(operator, f"/jobs/{job.pk}/")

    assert "Lost." in page
    assert f"/jobs/{job.pk}/retry/" not in page


def test_a_retry_names_the_job_before_it(viewer: Client) -> None:
    first = make_job("failed", error="No.")
    second = make_job("running", retry_of=first)

    assert f'href="/jobs/{first.pk}/"' in text_of(viewer, f"/jobs/{second.pk}/")


def test_an_unknown_job_is_not_found(viewer: Client) -> None:
    assert viewer.get("/jobs/999/").status_code == 404
    assert viewer.get("/jobs/999/log/").status_code == 404
