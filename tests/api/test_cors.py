"""Pages of other origins: none may ask, or those that CORS_ORIGINS names, by token alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.http.response import ResponseHeaders
from django.test import Client
from pytest_django import Settings

from abm.cors_settings import MIDDLEWARE_OF_CORS
from abm.environment import Reader, WrongSetting
from tests.api.conftest import program_of
from tests.pages.factories import browser_of, make_user

STUDIO, STRANGER, PATH = (
    "https://studio.example",
    "https://elsewhere.example",
    "/api/engines/status",
)
ALLOW = "Access-Control-Allow-Origin"


@pytest.fixture
def allowed(settings: Settings, db: None) -> None:
    settings.CORS_ALLOWED_ORIGINS = [STUDIO]
    settings.MIDDLEWARE = [MIDDLEWARE_OF_CORS, *settings.MIDDLEWARE]


def asked_before(method: str = "POST", origin: str = STUDIO, path: str = PATH) -> ResponseHeaders:
    """What a browser is told before it sends what is not simple."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,x-api-key,content-type,last-event-id",
    }
    return Client().options(path, headers=headers).headers


def test_without_the_setting_no_other_origin_may_ask(db: None) -> None:
    answer = program_of(make_user("viewer")).get(PATH, Origin=STUDIO)

    assert answer.status_code == 200
    assert ALLOW not in answer
    assert ALLOW not in asked_before()


def test_a_page_of_a_named_origin_may_ask_with_a_token(allowed: None) -> None:
    answer = program_of(make_user("viewer")).get(PATH, Origin=STUDIO)
    said = asked_before("PATCH")

    assert (answer.status_code, answer[ALLOW]) == (200, STUDIO)
    assert "Origin" in answer["Vary"].title()
    assert "ETag" in answer["Access-Control-Expose-Headers"]
    assert said[ALLOW] == STUDIO
    assert "PATCH" in said["Access-Control-Allow-Methods"]
    for header in ("authorization", "x-api-key", "last-event-id"):
        assert header in said["Access-Control-Allow-Headers"]
    for told in (said, answer.headers):
        assert "Access-Control-Allow-Credentials" not in told


def test_a_page_of_any_other_origin_may_not(allowed: None) -> None:
    assert ALLOW not in program_of(make_user("viewer")).get(PATH, Origin=STRANGER)
    assert ALLOW not in asked_before(origin=STRANGER)
    assert ALLOW not in asked_before(path="/engines/")
    assert ALLOW not in asked_before(path="/engine-hosts")


def test_a_cookie_counts_for_nothing_there(allowed: None) -> None:
    browser = browser_of(make_user("admin"))

    assert browser.get(PATH).status_code == 200
    refused = browser.get(PATH, headers={"Origin": STUDIO})
    assert (refused.status_code, refused.json()["detail"]) == (401, "[TOKEN_REQUIRED]")
    assert refused[ALLOW] == STUDIO, "so that the page can read why"


def test_abms_own_pages_are_no_strangers(allowed: None, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [STUDIO, "http://testserver"]

    own = browser_of(make_user("admin")).get(PATH, headers={"Origin": "http://testserver"})

    assert own.status_code == 200


def test_what_is_no_origin_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("*", "studio.example", "https://a/b", "https://u@a", "file:///srv"):
        monkeypatch.setenv("CORS_ORIGINS", f"{STUDIO}/, {text}")
        with pytest.raises(WrongSetting, match="must be an origin"):
            Reader(Path("none")).origins("CORS_ORIGINS")


def test_an_app_with_pages_inside_has_an_origin_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "tauri://localhost, http://localhost:5173/")

    found = Reader(Path("none")).origins("CORS_ORIGINS")

    assert found == ["tauri://localhost", "http://localhost:5173"]


def test_such_an_app_may_ask(allowed: None, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["tauri://localhost"]

    answer = program_of(make_user("viewer")).get(PATH, Origin="tauri://localhost")

    assert answer[ALLOW] == "tauri://localhost"
