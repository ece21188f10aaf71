"""What the scripts add to the parts, on the page that shows them all."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import PASSWORD, sign_in


@pytest.fixture
def style(page: Page) -> Page:
    page.goto("/style/")
    return page


def answer(page: Page, html: str, *, status: int = 200, **headers: str) -> None:
    """Make /answer/ give this part, and have htmx fetch it into #place."""

    def fulfill(route: Route) -> None:
        route.fulfill(status=status, content_type="text/html", body=html, headers=headers)

    page.route("**/answer/", fulfill)
    page.evaluate("htmx.ajax('GET', '/answer/', {target: '#place', swap: 'outerHTML'})")


def place(page: Page, html: str) -> None:
    page.evaluate(
        "html => document.querySelector('main').insertAdjacentHTML('beforeend', html)", html
    )


def test_the_theme_goes_round_and_is_kept(style: Page) -> None:
    root, switch = style.locator("html"), style.locator("[data-theme-switch]")
    for theme in ("light", "dark"):
        switch.click()
        expect(root).to_have_attribute("data-theme", theme)
    style.reload()
    expect(root).to_have_attribute("data-theme", "dark")
    switch.click()
    expect(root).not_to_have_attribute("data-theme", "dark")


def test_copy_works_where_the_browser_offers_no_clipboard(context: BrowserContext) -> None:
    page = context.new_page()
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
    sign_in(page)
    page.goto("/style/")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("searchbox", name="Search", exact=True).focus()
    page.keyboard.press("Control+V")
    expect(page.get_by_role("searchbox", name="Search", exact=True)).to_have_value("What is copied")


def test_a_slash_leads_to_the_search_but_can_be_typed(style: Page) -> None:
    search = style.get_by_role("searchbox", name="Search", exact=True)
    style.keyboard.press("/")
    expect(search).to_be_focused()
    style.keyboard.press("/")
    expect(search).to_have_value("/")


def test_a_log_is_searched_and_coloured_by_level(style: Page) -> None:
    style.get_by_role("searchbox", name="Search the log").fill("o")
    expect(style.locator("[data-log-count]")).to_have_text("3 lines")
    style.get_by_role("searchbox", name="Search the log").fill("port")
    expect(style.locator("[data-log-count]")).to_have_text("1 line")
    expect(style.get_by_text("ERROR: the port is taken")).to_have_attribute("data-level", "bad")
    expect(style.get_by_text("INFO: loading the model")).to_be_hidden()


def test_a_log_stops_following_who_scrolls_up(style: Page) -> None:
    log, follow = style.locator(".log"), style.get_by_role("switch", name="Follow")
    add = "log => { for (let n = 0; n < 99; n += 1) log.append(document.createElement('div')); }"
    log.evaluate(add)
    expect(follow).to_be_checked()
    log.evaluate("log => log.scrollTo(0, 0)")
    expect(follow).not_to_be_checked()
    log.evaluate(add)
    assert log.evaluate("log => log.scrollTop") == 0
    log.evaluate("log => log.scrollTo(0, log.scrollHeight)")
    expect(follow).to_be_checked()


def test_old_truth_turns_grey(style: Page) -> None:
    row = style.get_by_role("row", name="Not heard of for hours")
    expect(row).to_have_class("is-stale")
    expect(style.get_by_role("row", name="Fresh")).not_to_have_class("is-stale")


def test_escape_closes_a_menu_and_gives_the_focus_back(style: Page) -> None:
    menu = style.locator("details.menu")
    menu.locator("summary").click()
    menu.get_by_role("button").focus()
    style.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(menu.locator("summary")).to_be_focused()


def test_a_part_that_arrives_keeps_the_focus_and_what_is_folded_out(style: Page) -> None:
    fold = "<details><summary>More</summary></details>"
    part = "<div id='place'>{}<button id='go'>Go</button>" + fold + "</div>"
    place(style, part.format("old"))
    style.locator("#place summary").click()
    style.locator("#go").focus()
    answer(style, part.format("new"))
    expect(style.locator("#place")).to_contain_text("new")
    expect(style.locator("#go")).to_be_focused()
    expect(style.locator("#place details")).to_have_attribute("open", "")


def test_a_refusal_is_told_inside_the_dialog_that_asked(style: Page) -> None:
    place(style, "<div id='place'></div>")
    style.evaluate("document.getElementById('dialog').showModal()")
    answer(
        style,
        "<div class='message error'><p>The disk is full.</p></div>",
        status=409,
        **{"HX-Retarget": "#messages", "HX-Reswap": "innerHTML"},
    )
    expect(style.locator("#dialog").get_by_text("The disk is full.")).to_be_visible()


def test_a_page_that_comes_as_an_error_becomes_one_sentence(style: Page) -> None:
    place(style, "<div id='place'></div>")
    answer(style, "<!DOCTYPE html><h1>Not found</h1>", status=404)
    expect(style.locator("#messages")).to_have_text("That is no longer there. Reload the page.")
    expect(style.locator("#place")).to_have_count(1)


def test_a_server_that_is_gone_is_said(style: Page) -> None:
    place(style, "<div id='place'></div>")
    style.route("**/answer/", lambda route: route.abort())
    style.evaluate("htmx.ajax('GET', '/answer/', {target: '#place'}).catch(() => null)")
    expect(style.locator("#messages")).to_contain_text("abm does not answer")


def test_nothing_scrolls_sideways_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    widths = {}
    for path in ("/style/", "/", "/engines/", "/catalog/", "/hosts/", "/jobs/", "/settings/"):
        answered = page.goto(path)
        assert answered is not None and answered.ok, path
        widths[path] = page.evaluate("document.documentElement.scrollWidth")
    assert widths == dict.fromkeys(widths, 390)


@pytest.mark.parametrize("width", [390, 1440])
def test_what_asks_before_it_deletes_stays_on_the_page(page: Page, width: int) -> None:
    person = f"olga-{width}"  # the only admin cannot be deleted
    page.set_viewport_size({"width": width, "height": 844})
    page.goto("/accounts/users/")
    form = page.locator("form[action$='/users/add/']")
    form.get_by_label("Name").fill(person)
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button", name="Add").click()

    page.locator("details.menu > summary", has_text=f"Delete {person}").click()

    expect(page.get_by_role("button", name=f"Delete {person}", exact=True)).to_be_in_viewport()
    words = page.locator("details.menu[open] .menu-body p").bounding_box()
    assert words is not None and words["x"] >= 0 and words["x"] + words["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
