"""The colours of static/app.css, read as a browser reads them, against WCAG 2.2 AA."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parent.parent / "static" / "app.css").read_text()
TOKEN = re.compile(r"--([a-z-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)")
THEMES = {
    "light": {name: light for name, light, _ in TOKEN.findall(CSS)},
    "dark": {name: dark for name, _, dark in TOKEN.findall(CSS)},
}

GROUNDS = ["back", "surface", "log"]
WORDS = [
    *[(word, ground) for word in ("text", "soft", "bad", "warn") for ground in GROUNDS],
    *[
        (word, ground)
        for word in ("accent", "good", "busy", "idle")
        for ground in ("back", "surface")
    ],
    *[("text", ground) for ground in ("accent-soft", "good-soft", "warn-soft", "bad-soft")],
    ("soft", "bad-soft"),
    ("accent", "accent-soft"),
    ("on-accent", "accent"),
    ("surface", "bad"),
    ("good", "good-soft"),
    ("bad", "bad-soft"),
    ("warn", "warn-soft"),
]
EDGES = [
    *[("edge", ground) for ground in ("back", "surface")],
    ("surface", "edge"),
    ("accent", "line"),
    *[(f"holder-{letter}", "line") for letter in "abcd"],
    *[(f"holder-{letter}", "surface") for letter in "abcd"],
]


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, 0 (black) to 1 (white)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The WCAG contrast ratio, 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def grey(colour: str) -> str:
    """What `filter: grayscale(1)` makes of a colour."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    level = round(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return f"#{level:02x}{level:02x}{level:02x}"


def test_black_on_white_has_the_ratio_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("word", "ground"), WORDS)
def test_words_stand_out_from_their_ground(theme: str, word: str, ground: str) -> None:
    colours = THEMES[theme]
    assert contrast(colours[word], colours[ground]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("word", "ground"), [pair for pair in WORDS if pair[1] == "surface"])
def test_words_that_turned_grey_can_still_be_read(theme: str, word: str, ground: str) -> None:
    colours = THEMES[theme]
    assert contrast(grey(colours[word]), grey(colours[ground])) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("edge", "ground"), EDGES)
def test_edges_of_controls_stand_out(theme: str, edge: str, ground: str) -> None:
    colours = THEMES[theme]
    assert contrast(colours[edge], colours[ground]) >= 3
