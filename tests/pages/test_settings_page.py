"""What is set, by whom it is changed, and how this abm is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings as values
from django.test import Client
from pytest_django import Settings

from abm.system import SECRET, SHOWN, settings_lines, system_lines
from tests.pages.factories import browser_of, make_user


def test_every_variable_is_shown() -> None:
    source = (Path(values.BASE_DIR) / "abm" / "settings.py").read_text()
    read = set(re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', source))

    assert read == {*SHOWN.split(), *SECRET}


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_is_never_shown(db: None, settings: Settings, name: str) -> None:
    setattr(settings, name, "postgres://abm:pa55word@db/abm")
    # Signed in only now: another SECRET_KEY ends every session.
    admin = browser_of(make_user("admin"))

    page = admin.get("/settings/").content.decode()

    assert name in page
    assert "pa55word" not in page


def test_a_value_says_whether_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8765")
    monkeypatch.delenv("MAX_UPLOAD_MB", raising=False)

    sources = {line.name: line.source for line in settings_lines()}

    assert sources["PORT"] == "environment or .env"
    assert sources["MAX_UPLOAD_MB"] == "default"


def test_the_system_tells_database_room_and_threads(db: None) -> None:
    told = {line.name: line.value for line in system_lines()}

    assert {"Version", "Database", "Data directory", "Free disk", "Installed engines"} <= set(told)


def test_people_are_for_admins(viewer: Client, admin: Client) -> None:
    assert "/accounts/users/" not in viewer.get("/settings/").content.decode()
    assert "/accounts/users/" in admin.get("/settings/").content.decode()


def test_the_style_page_is_for_admins(operator: Client, admin: Client) -> None:
    assert operator.get("/style/").status_code == 403
    assert "Unreachable" in admin.get("/style/").content.decode()
