"""The install dialog asks no registry: it has one asked, and shows the numbers when they come."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from catalog.models import Variant
from engines import variant_sizes
from engines.choosing import choice
from hosts.models import Host
from tests.engines.factories import make_host, make_variant, variant_of
from tests.hosts.oci_server import Asked, Told, small_server
from tests.pages.factories import HTMX

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_asked_yet() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


class TestDialog:
    @pytest.fixture
    def variant(self) -> Variant:
        make_host(host_type=Host.Type.DOCKER_LOCAL, facts={"disk_free": 50_000_000_000})
        return variant_of("registry.invalid/lab/x")

    def opened(self, client: Client, variant: Variant, **query: str) -> str:
        answer = client.get(f"/engines/choose/{variant.entry_id}/", query, headers=HTMX)
        assert answer.status_code == 200
        return answer.content.decode()

    def waits(self, text: str) -> dict[str, str]:
        """What the dialog sends when it looks again; empty if it does not."""
        found = re.search(r'hx-get="[^"]*\?since=(\d+)&amp;failures=(\d+)"', text)
        return {"since": found[1], "failures": found[2]} if found else {}

    def polled(self, client: Client, variant: Variant, **query: str) -> Any:
        return client.get(f"/engines/choose/{variant.entry_id}/", query, headers=HTMX)

    def test_it_asks_no_registry_itself(self, operator: Client) -> None:
        with small_server(lambda asked: Told(is_silent=True)) as server:
            variant = variant_of(f"{server.address}/lab/x")
            began = time.monotonic()

            text = self.opened(operator, variant)

            assert time.monotonic() - began < 1
            assert server.asked == []
        assert "Asking its registry how large it is" in text

    def test_it_looks_again_until_the_numbers_come(
        self, operator: Client, variant: Variant
    ) -> None:
        wait = self.waits(self.opened(operator, variant))
        assert wait
        assert self.polled(operator, variant, **wait).status_code == 204

        Variant.objects.update(
            download_bytes=1_200_000_000,
            disk_bytes=3_400_000_000,
            measured_image=variant.reference,
        )
        answer = self.polled(operator, variant, **wait)

        text = answer.content.decode()
        assert answer.status_code == 200
        assert "1.2 GB to download, 3.4 GB on disk" in text
        assert self.waits(text) == {}

    def test_it_says_so_when_the_registry_does_not_tell(
        self, operator: Client, variant: Variant
    ) -> None:
        wait = self.waits(self.opened(operator, variant))
        Variant.objects.update(measure_failures=1, measure_error="x is away. Try later.")

        text = self.polled(operator, variant, **wait).content.decode()

        assert "How large it is, is not known. x is away. Try later." in text
        assert self.waits(text) == {}

    def test_it_gives_up_after_a_while(self, operator: Client, variant: Variant) -> None:
        since = str(int(time.time()) - 21)

        answer = self.polled(operator, variant, since=since, failures="0")

        assert answer.status_code == 200
        assert self.waits(answer.content.decode()) == {}

    @pytest.mark.parametrize("since", ["", "x", "9" * 50, "-1"])
    def test_nonsense_does_not_wait(self, operator: Client, variant: Variant, since: str) -> None:
        assert self.polled(operator, variant, since=since, failures="0").status_code == 200

    def test_what_was_chosen_meanwhile_is_kept(self, operator: Client, variant: Variant) -> None:
        other = make_host(host_type=Host.Type.DOCKER_LOCAL, facts={"disk_free": 60_000_000_000})
        wait = self.waits(self.opened(operator, variant))
        Variant.objects.update(download_bytes=1, disk_bytes=2, measured_image=variant.reference)

        text = self.polled(operator, variant, **wait, host=str(other.pk)).content.decode()

        assert re.search(rf'value="{other.pk}" required checked', text)
        assert text.count(" checked") == 1, "Start when installed was switched off"

    def test_a_variant_with_numbers_is_not_asked_about(
        self, operator: Client, variant: Variant
    ) -> None:
        Variant.objects.update(download_bytes=1000, disk_bytes=2000)

        assert self.waits(self.opened(operator, variant)) == {}

    def test_a_registry_that_asked_for_rest_gets_it(self, operator: Client) -> None:
        def tired(asked: Asked) -> Told:
            return Told(429, b"", {"Retry-After": "600"})

        make_host(host_type=Host.Type.DOCKER_LOCAL)
        with small_server(tired) as server:
            variant = variant_of(f"{server.address}/lab/x")
            variant_sizes.measure_due()

            text = self.opened(operator, variant)

        assert self.waits(text) == {}
        assert "has had enough requests" in text


@pytest.mark.django_db(transaction=True)
def test_the_dialog_rings_once_a_minute(rung: list[tuple[str, list[int]]]) -> None:
    variant = variant_of("registry.invalid/lab/x")
    for _ in range(3):
        choice(variant.entry, {})

    assert rung == [("engines.measure_variant", [variant.pk])]


def test_a_folder_of_the_catalog_is_never_asked_about(tmp_path: Path, operator: Client) -> None:
    variant = make_variant(folder=str(tmp_path))
    make_host()

    text = operator.get(f"/engines/choose/{variant.entry_id}/", headers=HTMX).content.decode()

    assert "registry" not in text
