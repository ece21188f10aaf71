"""Rows, charts and the terminal in a browser, under the Content-Security-Policy that abm sends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute, expect

from engines.forms import ports_shown
from engines.stats import Stats
from hosts.link.docker_samples import Sample
from hosts.runners.container import PortBinding

ENGINE = SimpleNamespace(pk=3, is_alive=True, host="gpu-box")
POLICY = "; ".join(
    f"{name} {' '.join(sources)}"
    for name, sources in settings.CONTENT_SECURITY_POLICY["DIRECTIVES"].items()
)
PAGE = """<!DOCTYPE html><html lang="en"><head><title>Parts</title>
<link rel="stylesheet" href="/static/vendor/pico.min.css">
<link rel="stylesheet" href="/static/app.css">
<script src="/static/rows.js" defer></script></head><body><main>{part}</main></body></html>"""
Show = Callable[..., Page]


@pytest.fixture
def show(context: BrowserContext) -> Iterator[Show]:
    """Show one part on a page of its own; a console error fails the test."""

    def shown(template: str, **values: Any) -> Page:
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        part = render_to_string(template, {"engine": ENGINE, **values})

        def fulfill(route: Route) -> None:
            headers = {"Content-Security-Policy": POLICY}
            body = PAGE.format(part=part)
            route.fulfill(body=body, content_type="text/html", headers=headers)

        page.route("**/parts/", fulfill)
        return page

    errors: list[str] = []
    yield shown
    assert errors == []


class TestRows:
    def test_a_row_is_added_typed_into_and_taken_away(self, show: Show) -> None:
        page = show("engines/_ports.html", ports=ports_shown([PortBinding(80, 8080)]))
        page.goto("/parts/")
        rows = page.locator("[data-row]")
        expect(rows).to_have_count(1)

        page.get_by_role("button", name="Add a port").click()
        expect(rows).to_have_count(2)
        expect(rows.nth(1).get_by_label("Container port")).to_be_focused()
        page.keyboard.type("7860")
        rows.nth(0).get_by_role("button", name="Remove this port").click()

        expect(rows).to_have_count(1)
        expect(rows.get_by_label("Container port")).to_have_value("7860")
        expect(rows.get_by_label("Container port")).to_be_focused()

    def test_the_last_row_can_go_and_another_come(self, show: Show) -> None:
        page = show("engines/_ports.html", ports=ports_shown([PortBinding(80)]))
        page.goto("/parts/")

        page.get_by_role("button", name="Remove this port").click()
        expect(page.get_by_role("button", name="Add a port")).to_be_focused()
        page.keyboard.press("Enter")

        expect(page.get_by_label("Host address")).to_have_value("")

    def test_without_scripts_there_are_empty_rows(self, context: BrowserContext) -> None:
        assert context.browser is not None
        quiet = context.browser.new_context(java_script_enabled=False)
        page = quiet.new_page()
        page.set_content(render_to_string("engines/_ports.html", {"ports": ports_shown([])}))

        expect(page.get_by_label("Container port")).to_have_count(2)
        expect(page.get_by_role("button", name="Add a port")).to_be_hidden()
        quiet.close()


def samples(*minutes_ago: float) -> Stats:
    now = datetime.now(UTC)
    return Stats(
        [
            Sample(now - timedelta(minutes=ago), 50, 2_000_000_000, 4_000_000_000, 1500, 2_500_000)
            for ago in minutes_ago
        ]
    )


class TestCharts:
    def test_the_newest_figures_are_told_in_their_units(self, show: Show) -> None:
        page = show("engines/_stats.html", stats=samples(0.3, 0.2, 0.1))
        page.goto("/parts/")

        charts = page.locator("[data-chart]")
        for number, words in enumerate((["50 %"], ["2.0 GB"], ["1.5 kB/s", "2.5 MB/s"])):
            for word in words:
                expect(charts.nth(number)).to_contain_text(word)

    def test_what_comes_later_is_appended(self, show: Show) -> None:
        page = show("engines/_stats.html", stats=samples(0.3, 0.2))
        page.goto("/parts/")
        expect(page.locator("[data-chart=cpu]")).to_contain_text("50 %")

        row = json.dumps([time.time(), 180, 3_500_000_000, None, None])
        swap = "(part, row) => part.outerHTML = `<dl data-sample='${row}'></dl>`"
        page.locator("[data-sample]").evaluate(swap, row)

        expect(page.locator("[data-chart=cpu]")).to_contain_text("180 %")
        expect(page.locator("[data-chart=memory]")).to_contain_text("3.5 GB")

    def test_the_pointer_shows_the_value_under_it_and_nothing_in_a_gap(self, show: Show) -> None:
        before = [40 + step / 12 for step in range(200, 0, -1)]
        after = [step / 12 for step in range(60, 0, -1)]
        page = show("engines/_stats.html", stats=samples(*before, *after))
        page.goto("/parts/")
        chart = page.locator("[data-chart=cpu]")
        over = chart.locator(".u-over")
        box = over.bounding_box()
        assert box is not None

        over.hover(position={"x": box["width"] * (1 - 2 / 60), "y": 20})
        expect(chart).to_contain_text("50 %")
        over.hover(position={"x": box["width"] * (1 - 39.5 / 60), "y": 20})
        expect(chart).to_contain_text("—")

    def test_without_figures_there_are_empty_charts(self, show: Show) -> None:
        page = show("engines/_stats.html", stats=Stats([]))
        page.goto("/parts/")

        expect(page.locator("[data-chart] canvas")).to_have_count(3)
        expect(page.locator("[data-chart=memory]")).to_contain_text("—")


class TestShell:
    @pytest.fixture
    def opened(self, show: Show) -> tuple[Page, WebSocketRoute, list[str | bytes]]:
        """A page with a terminal, abm's end of its socket, and what has come there."""
        page = show("engines/_shell.html", shell_path="/ws/engines/3/shell/")
        sockets: list[WebSocketRoute] = []
        heard: list[str | bytes] = []

        def take(socket: WebSocketRoute) -> None:
            sockets.append(socket)
            socket.on_message(lambda said: heard.append(said))

        page.route_web_socket("**/shell/", take)
        page.goto("/parts/")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("button", name="Close")).to_be_visible()
        wait_for(page, lambda: heard)
        return page, sockets[0], heard

    def test_it_tells_its_size_first_and_then_what_is_typed(
        self, opened: tuple[Page, WebSocketRoute, list[str | bytes]]
    ) -> None:
        page, _, heard = opened
        page.keyboard.type("lä")
        page.keyboard.press("Control+C")
        wait_for(page, lambda: b"\x03" in heard)

        size = json.loads(heard[0])
        assert size["cols"] > 40
        assert size["rows"] > 10
        assert b"".join(part for part in heard if isinstance(part, bytes)) == "lä\x03".encode()

    def test_colours_are_drawn_under_the_policy(
        self, opened: tuple[Page, WebSocketRoute, list[str | bytes]]
    ) -> None:
        page, socket, _ = opened
        socket.send(b"\x1b[31mred\x1b[0m \x1b[38;2;10;120;10mgreen\x1b[0m plain")

        red, green = (page.locator(".xterm-rows span", has_text=word) for word in ("red", "green"))
        expect(red).to_be_visible()
        colour = "one => getComputedStyle(one).color"
        assert len({one.evaluate(colour) for one in (red, green, page.locator(".xterm-rows"))}) == 3

    def test_it_tells_how_much_was_drawn(
        self, opened: tuple[Page, WebSocketRoute, list[str | bytes]]
    ) -> None:
        page, socket, heard = opened
        for _ in range(20):
            socket.send(b"x" * 10_000)

        def drawn() -> int:
            told = [json.loads(part) for part in heard if isinstance(part, str)]
            return sum(one.get("drawn", 0) for one in told)

        wait_for(page, lambda: drawn() >= 140_000)

    def test_a_narrower_page_is_told(
        self, opened: tuple[Page, WebSocketRoute, list[str | bytes]]
    ) -> None:
        page, _, heard = opened
        before = json.loads(heard[0])["cols"]

        page.set_viewport_size({"width": 390, "height": 844})

        wait_for(page, lambda: json.loads(heard[-1]).get("cols", before) < before)
        assert page.evaluate("document.documentElement.scrollWidth") == 390

    def test_its_end_is_told_and_it_can_be_opened_again(
        self, opened: tuple[Page, WebSocketRoute, list[str | bytes]]
    ) -> None:
        page, socket, _ = opened
        socket.send(json.dumps({"says": "The shell has ended with code 7."}))
        socket.close()

        expect(page.get_by_role("status")).to_have_text("The shell has ended with code 7.")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("button", name="Close")).to_be_visible()
        expect(page.locator(".xterm")).to_have_count(1)

    def test_f6_leaves_the_terminal(
        self, opened: tuple[Page, WebSocketRoute, list[str | bytes]]
    ) -> None:
        page, _, _ = opened
        expect(page.locator(".xterm-helper-textarea")).to_be_focused()

        page.keyboard.press("F6")

        expect(page.get_by_role("button", name="Close")).to_be_focused()


def wait_for(page: Page, holds: Callable[[], object]) -> None:
    """Look again and again, letting the browser speak meanwhile."""
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end, "what was waited for did not happen"
        page.wait_for_timeout(20)
