"""The dashboard: is anything wrong, what runs where, how do I get what I want."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from abm.attention import troubles
from abm.queries import HOSTS_SHOWN, PARTS
from catalog.models import CatalogSource
from engines.models import Engine, Trial
from hosts.models import Host
from jobs.models import Event
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import make_job, make_user


def page_of(client: Client) -> str:
    answer = client.get("/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_new_abm_shows_three_steps(operator: Client) -> None:
    make_host()

    page = page_of(operator)

    for words in ("Three steps to a first voice", "Choose a voice", "Nothing needs attention"):
        assert words in page, words


def test_the_next_step_starts_the_engine_that_was_installed(operator: Client) -> None:
    engine = make_engine(state=Engine.State.STOPPED)

    assert f"/engines/{engine.pk}/start/" in page_of(operator)


def test_the_last_step_leads_to_trying_it(operator: Client) -> None:
    engine = make_engine(state=Engine.State.RUNNING)

    assert f"/engines/{engine.pk}/?tab=try" in page_of(operator)


def test_the_steps_go_once_somebody_tried_an_engine(operator: Client) -> None:
    Trial.objects.create(engine=make_engine(), user=make_user("viewer"))

    assert "Three steps" not in page_of(operator)


def test_running_engines_open_jobs_and_events_are_shown(viewer: Client) -> None:
    engine = make_engine(state=Engine.State.RUNNING, display_name="Tiny voice")
    make_engine(display_name="Sleeping voice")
    make_job("running", subject="Big voice", percent=30)
    Event.objects.create(topic="engines", name="engine.changed", text="Tiny voice was started")

    page = page_of(viewer)

    assert engine.display_name in page
    assert "Sleeping voice" not in page
    assert "Install Big voice" in page
    assert "30 %" in page
    assert "Tiny voice was started" in page


def test_a_viewer_sees_trouble_but_no_buttons(viewer: Client, operator: Client) -> None:
    engine = make_engine(state=Engine.State.FAILED, error="Tiny ended: out of memory.")

    assert "Tiny ended: out of memory." in page_of(viewer)
    assert f"/engines/{engine.pk}/restart/" not in page_of(viewer)
    assert f"/engines/{engine.pk}/restart/" in page_of(operator)


def test_it_needs_a_login(client: Client, db: None) -> None:
    assert "/login/" in client.get("/")["Location"]


def test_many_rows_take_as_many_queries_as_few(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(15):
        state = [Engine.State.RUNNING, Engine.State.FAILED, Engine.State.STOPPED][number % 3]
        engine = make_engine(state=state, error="It broke.")
        status = "running" if number % 2 else "failed"
        make_job(status, engine=engine, host=engine.host, error="No.", subject=f"Job {number}")

    with django_assert_max_num_queries(18):
        page_of(viewer)


class TestAttention:
    def words(self) -> str:
        return "\n".join(trouble.text for trouble in troubles())

    def test_a_host_that_does_not_answer(self, db: None) -> None:
        make_host(display_name="nas", state=Host.State.UNREACHABLE, state_text="Timed out.")

        assert self.words() == "nas: Timed out."

    def test_a_host_with_little_room_is_a_warning(self, db: None) -> None:
        make_host(state=Host.State.DEGRADED, state_text="Only 1.0 GB of disk are free.")

        assert [trouble.is_failure for trouble in troubles()] == [False]

    def test_hosts_that_are_off_or_connecting_are_no_trouble(self, db: None) -> None:
        make_host(state=Host.State.DISABLED, is_enabled=False)
        make_host(state=Host.State.STARTING)
        make_host(state=Host.State.AVAILABLE)

        assert self.words() == ""

    def test_a_missing_engine_has_no_restart(self, db: None) -> None:
        make_engine(state=Engine.State.MISSING)

        (trouble,) = troubles()

        assert trouble.post_url == ""

    def test_a_job_that_failed_today(self, db: None) -> None:
        make_job("failed", error="The disk is full.")

        assert "The disk is full." in self.words()

    def test_a_job_that_was_tried_again_is_told_once(self, db: None) -> None:
        make_job("failed", error="The disk is full.")
        make_job("running")

        assert self.words() == ""

    def test_an_old_failure_is_history(self, db: None) -> None:
        make_job("failed", finished_at=timezone.now() - timedelta(hours=25))

        assert self.words() == ""

    def test_a_failed_start_is_told_by_its_engine_only(self, db: None) -> None:
        engine = make_engine(state=Engine.State.FAILED, error="It would not start.")
        make_job("failed", engine=engine, host=engine.host, action="start", error="No.")

        assert self.words() == "It would not start."

    def test_a_source_that_cannot_be_read(self, db: None) -> None:
        CatalogSource.objects.create(name="mine", error="It answered with HTML.")
        CatalogSource.objects.create(name="off", error="Old.", is_enabled=False)

        assert self.words() == "The catalog “mine” could not be synced: It answered with HTML."


def test_of_many_hosts_the_first_are_shown_with_the_way_to_all(viewer: Client) -> None:
    for _ in range(HOSTS_SHOWN):
        make_host()
    assert "All hosts" not in viewer.get("/").content.decode()
    make_host(display_name="One too many")

    page = viewer.get("/").content.decode()

    assert "All hosts" in page
    assert "One too many" not in page


def test_many_running_engines_cost_one_question(
    viewer: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    host = make_host()
    for _ in range(3):
        make_engine(state=Engine.State.RUNNING, host=host, device="cpu", seen_at=timezone.now())

    with django_assert_num_queries(1):
        html = render_to_string("abm/_running.html", {**PARTS["running"](), "viewer": viewer})

    assert html.count("· CPU") == 3


def test_the_time_of_an_event_is_written_in_the_clock_of_the_settings(viewer: Client) -> None:
    Event.objects.create(topic="engines", name="engine.changed", text="Something happened")
    at = datetime(2026, 1, 31, 23, 5, 9, tzinfo=UTC)
    Event.objects.update(created_at=at)

    with timezone.override("Asia/Kolkata"):
        page = page_of(viewer)

    assert 'datetime="2026-02-01T04:35:09+05:30" title="2026-02-01 04:35:09 IST"' in page
    assert "2026-02-01 04:35<" in page
