"""What templates and static files promise each other and the Content-Security-Policy."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "static"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
VENDORED = json.loads((STATIC / "vendor" / "vendor.json").read_text())
ICON_NAMED = re.compile(r"""_icon\.html" with name="([a-z0-9-]+)"|\bicon="([a-z0-9-]+)\"""")


def icons_named() -> set[str]:
    found = (ICON_NAMED.findall(path.read_text()) for path in TEMPLATES)
    return {one or other for matches in found for one, other in matches}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_has_style_or_script_of_its_own(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_fetches_from_elsewhere(path: Path) -> None:
    assert not re.search(
        r"""<(script|link|img|audio)[^>]*\s(src|href)="https?:""", path.read_text()
    )


def test_the_sprite_has_the_icons_that_are_named_and_no_others() -> None:
    sprite = set(re.findall(r'symbol id="([^"]+)"', (STATIC / "vendor" / "icons.svg").read_text()))
    assert sprite == icons_named()


@pytest.mark.parametrize("part", VENDORED, ids=lambda part: str(part["name"]))
def test_what_is_vendored_is_what_its_list_says(part: dict[str, str]) -> None:
    content = (STATIC / "vendor" / part["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == part["sha256"]
    assert (STATIC / "vendor" / part["licence_file"]).stat().st_size > 500
    assert part["version"] and part["licence"] and part["source"]


def test_nothing_is_vendored_that_the_list_leaves_out() -> None:
    listed = {part[key] for part in VENDORED for key in ("file", "licence_file")}
    vendor = STATIC / "vendor"
    here = {str(path.relative_to(vendor)) for path in vendor.rglob("*") if path.is_file()}
    assert here == listed | {"vendor.json"}
