"""Settings, schemas and health over the API: the contract's keys, defaults and codes."""

from __future__ import annotations

from typing import Any

from django.test import Client

from engines.models import StoredSettings
from tests.api.conftest import Program
from tests.engines.factories import make_engine, make_host, variant_of

DEFAULTS: dict[str, Any] = {
    "engines": {"inactivityTimeoutMinutes": 5, "autostartKeepRunning": True},
    "tts": {},
    "audio": {
        "defaultFormat": "m4a",
        "defaultQuality": "medium",
        "pauseBetweenSegments": 500,
        "defaultDividerDuration": 2000,
    },
    "text": {"preferredMaxSegmentLength": 250},
    "stt": {},
    "quality": {
        "autoAnalyzeSegment": False,
        "autoAnalyzeChapter": False,
        "autoRegenerateDefects": 0,
        "maxRegenerateAttempts": 5,
    },
    "languages": {"allowedLanguages": ["de", "en"]},
}


def test_all_of_them_are_read_and_nothing_is_written(viewing: Program) -> None:
    for path in ("/api/settings", "/api/settings/"):
        assert viewing.get(path).json() == DEFAULTS
    assert not StoredSettings.objects.exists()


def test_one_is_found_by_its_name_and_by_dots(viewing: Program) -> None:
    for key, value in (
        ("engines", DEFAULTS["engines"]),
        ("engines.inactivityTimeoutMinutes", 5),
        ("languages.allowedLanguages", ["de", "en"]),
        ("tts", {}),
    ):
        assert viewing.get(f"/api/settings/{key}").json() == {"key": key, "value": value}


def test_an_unknown_one_has_its_code(program: Program) -> None:
    for answer in (
        program.get("/api/settings/engines.no;thing"),
        program.put("/api/settings/no;thing", {"value": {}}),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith("[SETTINGS_KEY_NOT_FOUND]key:")
        assert answer.json()["detail"].endswith("no%3Bthing")


def test_a_category_is_replaced_as_a_whole_in_both_cases(program: Program) -> None:
    path = "/api/settings/engines"

    said = program.put(path, {"value": {"inactivity_timeout_minutes": 7}}).json()

    assert said == {
        "key": "engines",
        "value": {"inactivityTimeoutMinutes": 7, "autostartKeepRunning": True},
    }
    said = program.put(path, {"value": {"autostartKeepRunning": False}}).json()
    assert said["value"] == {"inactivityTimeoutMinutes": 5, "autostartKeepRunning": False}
    assert program.get(path).json() == said


def test_what_stands_inside_a_free_value_is_left_as_it_is(program: Program) -> None:
    value = {"xtts_v2": {"some_key": 1, "someKey": {"deep_er": [None, 1.5, "ü"]}}}

    assert program.put("/api/settings/tts", {"value": value}).json()["value"] == value
    assert program.get("/api/settings").json()["tts"] == value


UNFIT: list[tuple[str, dict[str, Any]]] = [
    ("engines", {"inactivityTimeoutMinutes": "5"}),
    ("engines", {"inactivityTimeoutMinutes": -1}),
    ("engines", {"inactivityTimeoutMinutes": 10**30}),
    ("engines", {"autostartKeepRunning": 1}),
    ("engines", {"surprise": 1}),
    ("languages", {"allowedLanguages": "de"}),
    ("audio", {"defaultFormat": ["m4a"]}),
    ("quality", {"maxRegenerateAttempts": 1.5}),
]


def test_a_value_that_does_not_fit_changes_nothing(program: Program) -> None:
    for category, value in UNFIT:
        answer = program.put(f"/api/settings/{category}", {"value": value})

        assert answer.status_code == 400, value
        assert answer.json()["detail"].startswith(f"[SETTINGS_INVALID]{next(iter(value))}:")
        assert "Extra inputs" not in answer.json()["message"]
    assert program.get("/api/settings").json() == DEFAULTS


def test_a_reset_brings_the_defaults_back(program: Program) -> None:
    program.put("/api/settings/audio", {"value": {"defaultFormat": "mp3"}})
    program.put("/api/settings/tts", {"value": {"x": 1}})

    assert program.post("/api/settings/reset").json()["success"] is True
    assert program.get("/api/settings").json() == DEFAULTS


def test_what_abm_does_not_use_is_on_no_page(admin: Client) -> None:
    page = admin.get("/settings/").content.decode()

    for word in ("SegmentLength", "Regenerate", "Divider", "m4a"):
        assert word not in page


def test_parameters_are_told_by_both_spellings(viewing: Program) -> None:
    make_engine(host=make_host(host_id="local"), name="tiny")

    for path in ("tts/tiny:local", "tts/tiny", "tiny:local"):
        schema = viewing.get(f"/api/settings/engine-schema/{path}").json()["parameters"]
        assert set(schema["speed"]) >= {
            *("type", "label", "description", "default", "min", "max", "readonly", "category"),
        }
    for path, status, detail in (
        ("no;ne/tiny", 400, "[SETTINGS_INVALID_ENGINE_TYPE]engineType:no%3Bne"),
        ("tts/nobody", 404, "[SETTINGS_ENGINE_NOT_FOUND]variantId:nobody"),
    ):
        answer = viewing.get(f"/api/settings/engine-schema/{path}")
        assert (answer.status_code, answer.json()["detail"]) == (status, detail)


def test_the_lower_of_two_limits_counts(program: Program) -> None:
    make_engine(host=make_host(host_id="local"), name="tiny")
    path = "/api/settings/segment-limits/tiny"

    assert program.get(path).json() == {
        "userPreference": 250,
        "engineMaximum": 100,
        "effectiveLimit": 100,
    }
    program.put("/api/settings/text", {"value": {"preferredMaxSegmentLength": 80}})
    assert program.get(path).json()["effectiveLimit"] == 80


def test_health_has_the_contract_s_keys(viewing: Program) -> None:
    make_engine(host=make_host(host_id="local"), name="tiny")

    said = viewing.get("/health").json()

    assert set(said) == {
        *("status", "version", "timestamp", "database", "ttsEngines", "busy", "activeJobs"),
        *("hasTtsEngine", "hasTextEngine", "hasSttEngine"),
    }
    assert (said["ttsEngines"], said["hasTtsEngine"], said["hasSttEngine"]) == (
        ["tiny:local"],
        True,
        False,
    )


def test_an_image_of_the_catalog_has_the_contract_s_keys(viewing: Program) -> None:
    variant_of("registry.example/voice")

    image = viewing.get("/api/engines/catalog").json()["images"][0]

    assert set(image) == {
        *("engineName", "image", "engineType", "displayName", "description", "requiresGpu"),
        *("tags", "defaultTag", "supportedLanguages", "models", "variants"),
    }
