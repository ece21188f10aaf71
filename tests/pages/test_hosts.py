"""The hosts' pages: how each machine is, testing it, its settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from engines.models import Engine
from hosts.models import Host
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import HTMX, make_job

FACTS = {
    "system": "Linux",
    "release": "Debian GNU/Linux 12",
    "machine": "amd64",
    "hostname": "nas",
    "cpu_name": "A Processor",
    "cpu_count": 4,
    "load": 0.5,
    "memory_total": 8_000_000_000,
    "memory_used": 2_000_000_000,
    "disk_total": 100_000_000_000,
    "disk_free": 40_000_000_000,
    "python_versions": ["3.11.2", "3.12.1"],
    "versions": {"uv": "0.13.8"},
}


def text_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def form_of(host: Host, **values: Any) -> dict[str, Any]:
    return {
        "display_name": host.display_name,
        "samples_path": "/srv/samples",
        "models_path": "/srv/models",
        "is_enabled": "on",
        **values,
    }


def test_a_card_tells_state_system_and_room(viewer: Client) -> None:
    make_host(display_name="nas", facts=FACTS, seen_at=timezone.now())

    page = text_of(viewer, "/hosts/")

    for words in (
        "nas",
        "Available",
        "Debian GNU/Linux 12, amd64",
        "4 CPUs",
        "2.0 GB of 8.0 GB",
        "40 GB free of 100 GB",
        "as of",
    ):
        assert words in page, words


def test_what_was_not_read_is_unknown_and_not_zero(viewer: Client) -> None:
    host = make_host(facts={})

    page = text_of(viewer, f"/hosts/{host.pk}/")

    assert "unknown" in page
    assert "0 B" not in page


def test_a_card_counts_engines_and_open_jobs(viewer: Client) -> None:
    host = make_host()
    make_engine(host=host, state=Engine.State.RUNNING)
    make_engine(host=host, state=Engine.State.STOPPED)
    make_engine(host=host, state=Engine.State.ABSENT)
    make_job("running", host=host)
    make_job("succeeded", host=host)

    page = text_of(viewer, "/hosts/")

    assert "2 engines, 1 running" in page
    assert "1 job under way" in page


def test_an_unreachable_host_says_why(viewer: Client) -> None:
    make_host(state=Host.State.UNREACHABLE, state_text="The machine did not answer in 5 s.")

    assert "The machine did not answer in 5 s." in text_of(viewer, "/hosts/")


def test_details_show_every_column(viewer: Client) -> None:
    host = make_host(facts=FACTS, has_gpu=None, ssh_url="ssh://abm@nas")

    page = text_of(viewer, f"/hosts/{host.pk}/")

    details = page[page.index('id="host-details"') :]
    for words in (
        host.host_id,
        "Local processes",
        "ssh://abm@nas",
        "In use",
        "Available",
        "GPU",
        "Samples",
        "Models",
        "Last tested",
        "Last seen",
        "Added",
        "Changed",
        "3.11.2, 3.12.1",
        "0.13.8",
    ):
        assert words in details, words


def test_only_an_admin_gets_the_form(viewer: Client, admin: Client) -> None:
    host = make_host()

    assert "host-settings" not in text_of(viewer, f"/hosts/{host.pk}/")
    assert "host-settings" in text_of(admin, f"/hosts/{host.pk}/")


def test_an_unknown_host_is_not_found(admin: Client) -> None:
    assert admin.get("/hosts/999/").status_code == 404
    assert admin.post("/hosts/999/probe/").status_code == 404
    assert admin.post("/hosts/999/change/").status_code == 404


def test_many_hosts_take_as_many_queries_as_few(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(20):
        make_job("running", host=make_engine().host)

    with django_assert_max_num_queries(5):
        text_of(viewer, "/hosts/")


def test_many_engines_take_as_many_queries_as_few(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    host = make_host()
    for _ in range(20):
        make_job("failed", host=host, engine=make_engine(host=host))

    with django_assert_max_num_queries(10):
        text_of(viewer, f"/hosts/{host.pk}/")


class TestProbe:
    def test_it_asks_a_worker_to_look(
        self,
        operator: Client,
        rung: list[tuple[str, list[int]]],
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        host = make_host()

        with django_capture_on_commit_callbacks(execute=True):
            answer = operator.post(f"/hosts/{host.pk}/probe/", headers=HTMX)

        assert rung == [("hosts.probe", [host.pk])]
        assert "Being tested" in answer.content.decode()
        assert f'id="host-head-{host.pk}"' in answer.content.decode()

    def test_a_card_gets_its_card_back(self, operator: Client) -> None:
        host = make_host()

        answer = operator.post(
            f"/hosts/{host.pk}/probe/", headers={**HTMX, "HX-Target": f"host-{host.pk}"}
        )

        assert f'id="host-{host.pk}"' in answer.content.decode()

    def test_a_host_that_is_off_is_left_alone(self, operator: Client) -> None:
        host = make_host(is_enabled=False, state=Host.State.DISABLED)

        answer = operator.post(f"/hosts/{host.pk}/probe/", headers=HTMX)

        assert answer.status_code == 409
        assert "switched off" in answer.content.decode()

    def test_a_viewer_may_not(self, viewer: Client) -> None:
        assert viewer.post(f"/hosts/{make_host().pk}/probe/").status_code == 403

    def test_it_needs_a_login(self, client: Client, db: None) -> None:
        answer = client.post(f"/hosts/{make_host().pk}/probe/")

        assert "/login/" in answer["Location"]


class TestChange:
    def test_an_admin_changes_name_and_folders(self, admin: Client) -> None:
        host = make_host()

        answer = admin.post(
            f"/hosts/{host.pk}/change/", form_of(host, display_name="The nas"), headers=HTMX
        )

        assert "Saved." in answer.content.decode()
        host.refresh_from_db()
        assert (host.display_name, host.samples_path) == ("The nas", "/srv/samples")
        assert host.is_usable

    def test_switching_off_is_a_state_of_its_own(self, admin: Client) -> None:
        host = make_host()
        form = form_of(host)
        del form["is_enabled"]

        admin.post(f"/hosts/{host.pk}/change/", form)

        host.refresh_from_db()
        assert host.state == Host.State.DISABLED

    @pytest.mark.parametrize("name", ["", "x" * 101])
    def test_a_bad_name_keeps_what_was_typed(self, admin: Client, name: str) -> None:
        host = make_host()

        answer = admin.post(
            f"/hosts/{host.pk}/change/", form_of(host, display_name=name), headers=HTMX
        )

        assert answer.status_code == 400
        assert "/srv/samples" in answer.content.decode()
        host.refresh_from_db()
        assert host.display_name != name

    def test_without_htmx_the_whole_page_comes_back(self, admin: Client) -> None:
        host = make_host()

        answer = admin.post(f"/hosts/{host.pk}/change/", form_of(host))

        assert "<html" in answer.content.decode()
        assert "Saved." in answer.content.decode()

    def test_an_operator_may_not(self, operator: Client) -> None:
        host = make_host()

        answer = operator.post(f"/hosts/{host.pk}/change/", form_of(host, display_name="mine"))

        assert answer.status_code == 403
        host.refresh_from_db()
        assert host.display_name != "mine"
