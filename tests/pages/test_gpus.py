"""Cards on the pages: the bar of each, its charts, and the choice in an engine's settings."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.utils import timezone

from engines.models import Engine
from hosts.gpu.values import CardReading, Inventory
from hosts.gpus import write_gpus
from hosts.models import Host
from tests.engines.cards import A, B, holds, make_gpu
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import HTMX, make_user
from tests.pages.test_live import opened

pytestmark = pytest.mark.django_db


def text_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_host_shows_each_card_cut_by_who_holds_it(viewer: Client) -> None:
    host = make_host()
    xtts = make_engine(host=host, display_name="XTTS v2")
    make_gpu(host, used=8.3, holders=[holds(xtts, 4.2)], utilization=37, temperature=54, others=2)

    html = text_of(viewer, f"/hosts/{host.pk}/")

    assert "15.7 GiB of 24 GiB free" in html
    assert '<rect class="holder-1" x="0.0" y="0" width="17.5" height="8">' in html
    assert f'<a href="/engines/{xtts.pk}/">XTTS v2</a> 4.2 GiB' in html
    assert "others 4.1 GiB" in html and "free 15.7 GiB" in html
    assert "37 % used" in html and "54 °C" in html and "2 other processes" in html
    assert "power unknown" in html


def test_the_list_and_the_dashboard_show_them_too(viewer: Client) -> None:
    host = make_host()
    make_gpu(host)

    for address in ("/hosts/", "/"):
        assert f'id="host-{host.pk}-gpus"' in text_of(viewer, address)
        assert "24 GiB of 24 GiB free" in text_of(viewer, address)


def test_old_figures_are_marked(viewer: Client) -> None:
    host = make_host()
    make_gpu(host, read_at=timezone.now() - timedelta(minutes=5))

    assert 'class="gpu is-stale"' in text_of(viewer, f"/hosts/{host.pk}/")


def test_why_cards_cannot_be_read_is_said(viewer: Client) -> None:
    host = make_host(gpu_text="nvidia-smi does not answer.")

    assert "nvidia-smi does not answer." in text_of(viewer, f"/hosts/{host.pk}/")


def test_who_opens_the_page_has_the_cards_read_more_often(viewer: Client) -> None:
    host = make_host()

    text_of(viewer, f"/hosts/{host.pk}/")

    asked = Host.objects.get(pk=host.pk).gpus_asked_at
    assert asked is not None and timezone.now() - asked < timedelta(seconds=10)


@pytest.mark.django_db(transaction=True)
async def test_an_open_page_shows_a_new_reading() -> None:
    host = await sync_to_async(make_host)()
    user = await sync_to_async(make_user)("viewer")
    pk = await sync_to_async(lambda: make_gpu(host).pk)()
    card = CardReading(A, name="RTX 4090", memory_total=2**30, memory_used=2**29)
    async with opened(f"/ws/hosts/{host.pk}/?cards={pk},x", user) as page:
        await page.settle()

        await sync_to_async(write_gpus)(host, Inventory((card,), ()), {}, names={})

        assert "512 MiB" not in await page.part("RTX 4090", "0.5 GiB of 1 GiB free")
        assert "536870912" in await page.part(f'id="gpu-{pk}-sample"')


@pytest.mark.django_db(transaction=True)
async def test_figures_come_for_the_charts_alone_that_the_page_has() -> None:
    host = await sync_to_async(make_host)()
    user = await sync_to_async(make_user)("viewer")
    card = CardReading(A, name="RTX 4090", memory_total=2**30, memory_used=2**29)
    async with opened(f"/ws/hosts/{host.pk}/?cards=", user) as page:
        await page.settle()

        await sync_to_async(write_gpus)(host, Inventory((card,), ()), {}, names={})

        assert "data-sample" not in await page.part("RTX 4090") + await page.settle()


def test_a_page_tells_its_socket_which_charts_it_has(viewer: Client) -> None:
    host = make_host()
    cards = f"{make_gpu(host).pk},{make_gpu(host, B).pk}"

    assert f"/ws/hosts/{host.pk}/?cards={cards}" in text_of(viewer, f"/hosts/{host.pk}/")


@pytest.mark.django_db
def test_cards_and_facts_that_come_at_once_are_both_counted() -> None:
    """The thread that reads cards has its row from before the facts were there."""
    facing = make_host(host_type=Host.Type.DOCKER_LOCAL)
    reading = Host.objects.get(pk=facing.pk)
    card = CardReading(A, name="RTX 4090", memory_total=2**30)
    facing.facts = {"has_gpu_runtime": True}
    facing.save(update_fields=["facts"])

    write_gpus(reading, Inventory((card,), ()), {}, names={})

    assert Host.objects.get(pk=facing.pk).has_gpu is True


class TestSettings:
    def test_an_operator_chooses_a_card(self, operator: Client) -> None:
        engine = make_engine()
        make_gpu(engine.host)
        make_gpu(engine.host, B, used=20)
        page = f"/engines/{engine.pk}/"
        assert "GPU 1, RTX 3090" in text_of(operator, f"{page}?tab=settings")

        answer = operator.post(f"{page}gpus/", {"gpu-mode": "chosen", "gpu": [B]}, headers=HTMX)

        html = answer.content.decode()
        assert answer.status_code == 200
        assert "Saved. It counts from the next start" in html
        engine.refresh_from_db()
        assert (engine.uses_gpu, engine.gpus) == (True, [B])

    def test_a_refusal_is_told_in_words(self, operator: Client) -> None:
        engine = make_engine()
        make_gpu(engine.host)

        answer = operator.post(f"/engines/{engine.pk}/gpus/", {"gpu-mode": "chosen"}, headers=HTMX)

        assert answer.status_code == 400
        assert "Tick at least one card" in answer.content.decode()

    def test_a_viewer_sees_no_form(self, viewer: Client) -> None:
        engine = make_engine()

        assert 'id="engine-gpus"' not in text_of(viewer, f"/engines/{engine.pk}/?tab=settings")
        assert viewer.post(f"/engines/{engine.pk}/gpus/", {"gpu-mode": "all"}).status_code == 403

    def test_a_shortage_is_shown_with_who_could_be_stopped(self, operator: Client) -> None:
        engine = make_engine(uses_gpu=True, definition={"abm": {"vram_mb": 9_000}})
        other = make_engine(host=engine.host, display_name="Whisper")
        make_gpu(engine.host, A, used=20, holders=[holds(other, 18)])

        html = text_of(operator, f"/engines/{engine.pk}/?tab=settings")

        assert "it would fit after stopping Whisper (18 GiB)" in html


def test_an_engine_on_the_cpu_that_was_to_use_the_gpu_stands_out(viewer: Client) -> None:
    engine = make_engine(
        state=Engine.State.RUNNING,
        uses_gpu=True,
        device="cpu",
        state_text="Runs on the CPU, was to use the GPU.",
    )

    head, rows = text_of(viewer, f"/engines/{engine.pk}/"), text_of(viewer, "/engines/")

    assert 'class="state-text is-warning"' in head
    assert "CPU, asked for GPU" in head and "CPU, asked for GPU" in rows
