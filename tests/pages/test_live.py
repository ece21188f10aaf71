"""Open pages change by themselves: the socket sends the parts that the views draw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser

from abm.routing import websocket_urlpatterns
from accounts.models import User
from engines.models import Engine
from engines.state import change_state
from hosts.services import rename_host
from jobs.consumers import LATENCY
from jobs.events import announce, hint
from jobs.models import Job
from jobs.services import cancel_job
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import browser_of, make_job, make_user, write_lines

pytestmark = pytest.mark.django_db(transaction=True)

QUIET_SECONDS = 0.3


class Page:
    """An open page's socket and what it was sent."""

    def __init__(self, socket: WebsocketCommunicator) -> None:
        self.socket = socket

    async def part(self, *words: str) -> str:
        """The next part that holds all the words; parts before it are let go."""
        while True:
            html: str = await self.socket.receive_from(timeout=5)
            if all(word in html for word in words):
                return html

    async def settle(self) -> str:
        """All that is sent until it is quiet."""
        parts = []
        while not await self.socket.receive_nothing(timeout=QUIET_SECONDS, interval=0.02):
            parts.append(await self.socket.receive_from())
        return "".join(parts)


@asynccontextmanager
async def opened(address: str, user: User | AnonymousUser) -> AsyncIterator[Page]:
    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), address)
    socket.scope["user"] = user
    connected, _ = await socket.connect(timeout=5)
    assert connected
    try:
        yield Page(socket)
    finally:
        await socket.disconnect()


async def do(work: Callable[..., Any], *args: Any, **values: Any) -> Any:
    return await sync_to_async(work)(*args, **values)


@pytest.fixture
def viewer() -> User:
    return make_user("viewer")


@pytest.fixture
def operator() -> User:
    return make_user("operator")


async def test_a_socket_without_a_login_is_closed() -> None:
    async with opened("/ws/jobs/", AnonymousUser()) as page:
        message = await page.socket.receive_output(timeout=5)

    assert (message["type"], message["code"]) == ("websocket.close", 4401)


async def test_a_person_who_was_shut_out_hears_no_more(viewer: User) -> None:
    async with opened("/ws/jobs/", viewer) as page:
        await page.part("job-list")
        await do(User.objects.filter(pk=viewer.pk).update, is_active=False)
        await do(announce, "jobs", "job.changed", pk=1)
        message = await page.socket.receive_output(timeout=5)

    assert message["code"] == 4401


async def test_a_new_job_appears_in_the_open_list(viewer: User) -> None:
    async with opened("/ws/jobs/", viewer) as page:
        await page.part("job-list", "Nothing has been done yet")
        job = await do(make_job, "queued", subject="Big voice")
        await do(announce, "jobs", "job.changed", pk=job.pk)

        part = await page.part("job-list", "Big voice")

    assert f'id="job-{job.pk}"' in part


async def test_it_is_counted_how_long_a_change_took_to_the_page(viewer: User) -> None:
    def counted() -> float:
        rows = LATENCY.family("x", "").rows
        return sum(value for suffix, _, value in rows if suffix == "_count")

    async with opened("/ws/jobs/", viewer) as page:
        await page.settle()
        before = counted()
        await do(announce, "jobs", "job.changed", pk=(await do(make_job, "queued")).pk)
        await page.settle()

    assert before < counted() <= before + 2


async def test_the_list_is_drawn_with_the_rights_of_who_looks(viewer: User, operator: User) -> None:
    job = await do(make_job, "running")

    async with opened("/ws/jobs/", viewer) as page:
        assert f"/jobs/{job.pk}/cancel/" not in await page.part("job-list")
    async with opened("/ws/jobs/", operator) as page:
        assert f"/jobs/{job.pk}/cancel/" in await page.part("job-list")


async def test_a_filtered_list_stays_filtered(viewer: User) -> None:
    async with opened("/ws/jobs/?status=failed&page=1", viewer) as page:
        await page.part("job-list")
        job = await do(make_job, "running", subject="Big voice")
        await do(announce, "jobs", "job.changed", pk=job.pk)

        assert "Big voice" not in await page.part("job-list")


@pytest.mark.parametrize("name", ["jobs", "engines", "catalog"])
async def test_a_list_from_the_socket_does_not_tell_it_what_is_wanted(
    viewer: User, name: str
) -> None:
    fetched = await do(lambda: browser_of(viewer).get(f"/{name}/").content.decode())
    async with opened(f"/ws/{name}/?q=other&page=1", viewer) as page:
        drawn = await page.part("q=other")

    assert "ws-send" in fetched
    assert "ws-send" not in drawn


async def test_progress_moves_the_bar_and_leaves_the_buttons_alone(operator: User) -> None:
    job = await do(make_job, "running")
    async with opened("/ws/jobs/", operator) as page:
        await page.part("job-list")
        await do(Job.objects.filter(pk=job.pk).update, percent=42)
        await do(hint, "jobs", "job.progressed", pk=job.pk)

        part = await page.part("42 %")

    assert f'id="job-progress-{job.pk}"' in part
    assert "<button" not in part


async def test_progress_of_a_job_that_is_not_shown_is_not_sent(viewer: User) -> None:
    job = await do(make_job, "running")
    async with opened("/ws/jobs/?status=failed", viewer) as page:
        await page.settle()
        await do(hint, "jobs", "job.progressed", pk=job.pk)

        assert await page.settle() == ""


async def test_a_cancelled_job_changes_in_two_open_pages(viewer: User, operator: User) -> None:
    job = await do(make_job, "queued")
    async with (
        opened(f"/ws/jobs/{job.pk}/", viewer) as one,
        opened(f"/ws/jobs/{job.pk}/", operator) as two,
    ):
        await one.settle()
        await two.settle()
        await do(cancel_job, job, user=operator)

        for page in (one, two):
            assert "Cancelled" in await page.part(f"job-head-{job.pk}")


async def test_every_line_of_a_log_is_sent_once(viewer: User) -> None:
    job = await do(make_job, "running")
    await do(write_lines, job, 1, 2)
    async with opened(f"/ws/jobs/{job.pk}/?after=2", viewer) as page:
        assert "line 1" not in await page.settle()
        await do(write_lines, job, 3)
        await do(hint, f"job-{job.pk}", "job.logged", pk=job.pk)
        first = await page.part("line 3")
        await do(write_lines, job, 4, 9)
        await do(hint, f"job-{job.pk}", "job.logged", pk=job.pk)
        second = await page.part("line 9")

    assert f'id="log-{job.pk}"' in first, "the pane is drawn anew on a socket's first lines"
    assert f"beforeend:#log-{job.pk}" in second
    assert "line 3" not in second
    assert "4 lines skipped" in second


async def test_a_page_that_comes_back_catches_up(viewer: User) -> None:
    job = await do(make_job, "running")
    await do(write_lines, job, 1, 2, 3)

    async with opened(f"/ws/jobs/{job.pk}/?after=1", viewer) as page:
        pane = await page.part("line 3")

    assert pane.count("line 2") == 1
    assert f'id="log-{job.pk}"' in pane


async def test_the_ring_counts_on_a_page_of_its_own(viewer: User) -> None:
    async with opened("/ws/page/", viewer) as page:
        job = await do(make_job, "running")
        await do(announce, "jobs", "job.changed", pk=job.pk)

        assert '<span class="ring-count">1</span>' in await page.part('id="ring"')


async def test_a_host_changes_in_the_open_list(viewer: User) -> None:
    host = await do(make_host)
    async with opened("/ws/hosts/", viewer) as page:
        await page.part("host-list")
        await do(rename_host, host, name="The nas", user=None)

        part = await page.part("The nas")

    assert part.lstrip().startswith(f'<article id="host-{host.pk}"')


async def test_an_engine_that_starts_changes_its_hosts_count(viewer: User) -> None:
    engine = await do(make_engine, state=Engine.State.STOPPED)
    async with opened("/ws/hosts/", viewer) as page:
        await page.part("1 engine, 0 running")
        await do(change_state, engine, Engine.State.RUNNING)

        await page.part("1 engine, 1 running")


async def test_a_hosts_page_hears_of_its_own_host_only(viewer: User) -> None:
    mine, other = await do(make_host), await do(make_host)
    async with opened(f"/ws/hosts/{mine.pk}/", viewer) as page:
        await page.settle()
        await do(rename_host, other, name="Other", user=None)
        assert await page.settle() == ""
        await do(rename_host, mine, name="Mine", user=None)

        await page.part(f'id="host-head-{mine.pk}"')


async def test_the_form_of_a_host_is_never_sent(viewer: User) -> None:
    admin = await do(make_user, "admin")
    host = await do(make_host)
    async with opened(f"/ws/hosts/{host.pk}/", admin) as page:
        await do(rename_host, host, name="Mine", user=None)

        assert "host-settings" not in await page.settle()


async def test_a_failure_shows_on_the_open_dashboard(viewer: User) -> None:
    engine = await do(make_engine, state=Engine.State.RUNNING)
    async with opened("/ws/dashboard/", viewer) as page:
        await page.part("Nothing needs attention")
        await do(change_state, engine, Engine.State.FAILED, error="It ran out of memory.")

        part = await page.part("It ran out of memory.")

    assert 'id="dashboard-attention"' in part


async def test_the_dashboards_bar_moves(viewer: User) -> None:
    job = await do(make_job, "running")
    async with opened("/ws/dashboard/", viewer) as page:
        await page.settle()
        await do(Job.objects.filter(pk=job.pk).update, percent=77)
        await do(hint, "jobs", "job.progressed", pk=job.pk)

        assert f'id="job-progress-{job.pk}"' in await page.part("77 %")


async def test_a_burst_of_events_costs_few_drawings(viewer: User) -> None:
    job = await do(make_job, "running")
    async with opened("/ws/jobs/", viewer) as page:
        await page.settle()
        for _ in range(50):
            await do(hint, "jobs", "job.changed", pk=job.pk)
        await asyncio.sleep(0)

        assert (await page.settle()).count('id="job-list"') < 50
