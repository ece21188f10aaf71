"""The main job in a browser: install an engine, start it, hear it; and what may go wrong."""

from __future__ import annotations

import io
import re
import wave
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from engines.functional import PHRASE_FILE
from tests.browser.conftest import sign_in
from tests.browser.server import Served

LONG = 120_000


def install(page: Page, name: str) -> None:
    """From the catalog to the engine's page, installed and started."""
    page.goto("/catalog/")
    page.get_by_role("link", name=f"Install {name}", exact=True).click()
    page.locator("#dialog").get_by_role("button", name="Install").click()
    page.wait_for_url(re.compile(r"/jobs/\d+/"))
    expect(page.locator(".head-state .state-word")).to_have_text("Done", timeout=LONG)
    page.get_by_role("link", name="Try it").click()
    expect(state(page)).to_have_text("Running")


def state(page: Page) -> Locator:
    return page.locator(".head-state .state-word")


def open_engine(page: Page, name: str, tab: str = "try") -> None:
    """The page of an engine that a test before this one may have installed already."""
    page.goto("/engines/")
    link = page.locator("a.name", has_text=name)
    if link.count() == 0:
        install(page, name)
    else:
        link.click()
        page.wait_for_url(re.compile(r"/engines/\d+/"))
        if state(page).inner_text() != "Running":
            page.get_by_role("button", name="Start", exact=True).click()
            expect(state(page)).to_have_text("Running", timeout=LONG)
    if tab != "try":
        tabs = page.get_by_role("navigation", name="About this engine")
        tabs.get_by_role("link", name=tab).click()


def test_install_start_and_hear_a_voice(page: Page) -> None:
    open_engine(page, "eSpeak NG")
    page.get_by_label("Text").fill("Good evening from the tests.")

    page.get_by_role("button", name="Speak").click()

    trial = page.locator(".trial").first
    expect(trial).to_contain_text("Good evening from the tests.")
    expect(trial).to_contain_text("real-time factor")
    expect(trial.locator("canvas")).to_be_visible()
    with page.expect_download() as download:
        trial.get_by_role("link", name="Download WAV").click()
    with wave.open(str(download.value.path())) as wav:
        assert wav.getnframes() / wav.getframerate() > 0.8


def test_what_was_spoken_is_heard_by_another_engine(page: Page) -> None:
    open_engine(page, "eSpeak NG")
    page.get_by_label("Text").fill("one two three four five six")
    page.get_by_text("Parameters for this time").click()
    page.locator("select[name=voice]").select_option("m4")
    page.get_by_role("button", name="Speak").click()
    expect(page.locator(".trial").first).to_contain_text("one two three")

    open_engine(page, "PocketSphinx")
    spoken = page.get_by_label("something spoken here before").locator("option:checked")
    expect(spoken).to_contain_text("one two three four five six")
    page.get_by_role("button", name="Transcribe").click()

    expect(page.locator(".transcript").first).to_have_text("one two three four five six")


def test_a_recording_is_uploaded_and_read(page: Page) -> None:
    open_engine(page, "PocketSphinx")
    page.get_by_label("A recording (WAV)").set_input_files(PHRASE_FILE)

    page.get_by_role("button", name="Transcribe").click()

    expect(page.locator(".transcript").first).to_have_text("one two three four five six")


def test_a_file_that_is_no_wav_is_named_and_nothing_is_lost(page: Page, tmp_path: Path) -> None:
    open_engine(page, "PocketSphinx")
    file = tmp_path / "holiday.wav"
    file.write_bytes(b"not a recording" * 100)
    page.get_by_label("A recording (WAV)").set_input_files(file)

    page.get_by_role("button", name="Transcribe").click()

    expect(page.locator("#messages")).to_contain_text("“holiday.wav” is not a WAV file")
    expect(page.get_by_label("A recording (WAV)")).not_to_have_value("")


def test_a_text_is_cut_into_segments(page: Page) -> None:
    open_engine(page, "pySBD")
    page.get_by_label("Text").fill("Dr. Smith came at 9 a.m. today. He said hello. Then he left.")
    page.get_by_label("Longest segment (characters)").fill("40")

    page.get_by_role("button", name="Cut into segments").click()

    first = page.locator(".segments").first.locator("li")
    expect(first).to_have_count(2)
    expect(first.first).to_contain_text("Dr. Smith came at 9 a.m. today.")


def test_a_recording_is_judged(page: Page) -> None:
    open_engine(page, "Silero VAD")
    page.get_by_label("A recording (WAV)").set_input_files(PHRASE_FILE)

    page.get_by_role("button", name="Analyze").click()

    quality = page.locator(".quality").first
    expect(quality).to_contain_text("of 100")
    expect(quality).to_contain_text("Speech ratio")


def test_the_functional_test_shows_pass(page: Page) -> None:
    open_engine(page, "eSpeak NG")

    page.get_by_role("button", name="Test", exact=True).click()

    expect(page.locator(".test-result")).to_contain_text("Passed its test", timeout=LONG)


def test_every_open_page_follows_without_a_reload(page: Page, context: BrowserContext) -> None:
    open_engine(page, "eSpeak NG")
    others = [context.new_page() for _ in range(3)]
    for other, path in zip(others, ["/", "/engines/", page.url], strict=True):
        other.goto(path)
        other.evaluate("window.isTheSamePage = true")
    row = others[1].locator("tr", has_text="eSpeak NG")
    expect(row).to_contain_text("Running")

    page.get_by_role("button", name="Stop", exact=True).click()

    expect(state(page)).to_have_text("Stopped")
    expect(row).to_contain_text("Stopped")
    expect(state(others[2])).to_have_text("Stopped")
    row.get_by_role("button", name="Start").click()
    expect(state(page)).to_have_text("Running", timeout=LONG)
    expect(others[0].locator("main")).to_contain_text("eSpeak NG is running")
    assert all(other.evaluate("window.isTheSamePage") for other in others)


def test_parameters_are_checked_and_saved(page: Page) -> None:
    open_engine(page, "eSpeak NG", "Settings")
    form = page.locator("#engine-parameters")
    form.get_by_label("Speed").fill("9000")
    form.get_by_role("button", name="Save").click()
    expect(form).to_contain_text("Speed must be")
    expect(form.get_by_label("Speed")).to_have_value("9000")

    form.get_by_label("Speed").fill("200")
    form.get_by_role("button", name="Save").click()
    expect(form).to_contain_text("Saved")
    form.get_by_role("button", name="Reset Speed").click()

    expect(form.get_by_label("Speed")).to_have_value("165")


def test_models_are_listed_with_their_sizes(page: Page) -> None:
    open_engine(page, "eSpeak NG", "Models")

    row = page.locator("#engine-models tbody tr")

    expect(row).to_contain_text("Formant voices")
    expect(row).to_contain_text("18 MB")
    expect(row).to_contain_text("loaded")


def test_the_log_is_live_searched_and_downloaded(page: Page) -> None:
    open_engine(page, "eSpeak NG", "Logs")
    log = page.locator("[data-log-lines]")
    expect(log).to_contain_text("listens on")
    before = log.locator("div").count()

    page.get_by_role("button", name="Restart").click()

    expect(state(page)).to_have_text("Running", timeout=LONG)
    page.wait_for_function(
        "count => document.querySelectorAll('[data-log-lines] > div').length > count", arg=before
    )
    page.get_by_label("Search the log").fill("no such words at all")
    expect(page.locator("[data-log-count]")).to_have_text("0 lines")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert "listens on" in Path(download.value.path()).read_text()


def test_an_empty_text_and_one_that_is_too_long_are_refused_kindly(page: Page) -> None:
    open_engine(page, "eSpeak NG")
    page.get_by_label("Text").evaluate("box => box.removeAttribute('maxlength')")
    page.get_by_label("Text").fill("a" * 10_001)

    page.get_by_role("button", name="Speak").click()

    expect(page.locator("#messages")).to_contain_text("takes up to 10,000")


def test_uninstall_takes_the_engine_away_in_every_page(page: Page, context: BrowserContext) -> None:
    open_engine(page, "pySBD")
    left_open, other = context.new_page(), context.new_page()
    left_open.goto(page.url)
    other.goto("/engines/")
    row = other.locator("tr", has_text="pySBD")
    expect(row).to_be_visible()

    page.locator("#engine-uninstall").click()
    page.locator("dialog").get_by_role("button", name=re.compile("^Uninstall")).click()

    expect(page).to_have_url(re.compile("/jobs/"))
    expect(left_open.get_by_text("This engine is no longer installed")).to_be_visible(timeout=LONG)
    expect(row).to_have_count(0)


def test_search_finds_engines_by_the_slash_key(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("sphinx")
    page.keyboard.press("Enter")

    expect(page.get_by_role("main")).to_contain_text("PocketSphinx")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_the_window_or_complains(
    context: BrowserContext, served: Served, width: int, scheme: str
) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    sign_in(page)
    page.goto("/accounts/users/")
    anna = page.get_by_role("row", name="anna")
    if not anna.count():
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password", exact=True).fill("correct horse battery")
        page.get_by_role("button", name="Add", exact=True).click()
        anna.wait_for()
    for path in (
        "/",
        "/engines/",
        "/catalog/",
        "/hosts/",
        "/hosts/1/",
        "/jobs/",
        "/settings/",
        "/accounts/users/",
        "/accounts/profile/",
        "/search/?q=e",
    ):
        page.goto(path)
        page.wait_for_timeout(150)
        page.evaluate("document.querySelectorAll('main details').forEach(it => it.open = true)")
        too_wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert too_wide <= 0, path
        assert page.locator("h1").count() == 1, path

    assert said == []


def test_a_voice_of_a_second_is_a_real_recording() -> None:
    """The phrase that tests upload is what it should be."""
    with wave.open(io.BytesIO(PHRASE_FILE.read_bytes())) as wav:
        assert (wav.getframerate(), wav.getnchannels()) == (16_000, 1)
