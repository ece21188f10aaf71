"""The settings of the API's contract: categories with their keys, kept by category.

abm itself acts on `engines` and `languages`; the others belong to the contract's own clients, which
expect to find what they stored. Defaults and names are those of Audiobook Maker 1.1.2.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from django.conf import settings
from django.db import models, transaction
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from jobs.events import announce

TOPIC = "settings"
FRESH_SECONDS = 1.0
"""How long this process believes what it read: another one may have changed it."""
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[a-z0-9]{2,8}){0,2}$", max_length=20)]
Milliseconds = Annotated[int, Field(ge=0, le=600_000)]


class StoredSettings(models.Model):
    """One category as somebody set it; a category without a row is at its defaults."""

    category = models.CharField(max_length=20, unique=True)
    value = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.category


class Category(BaseModel):
    """A category's keys, as the contract writes them."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True
    )


class EngineSettings(Category):
    """What abm does with engines by itself."""

    inactivity_timeout_minutes: int = Field(default=5, ge=0, le=10_000)
    autostart_keep_running: bool = True


class AudioSettings(Category):
    """Of the contract's own clients."""

    default_format: Literal["mp3", "m4a", "wav"] = "m4a"
    default_quality: Literal["low", "medium", "high"] = "medium"
    pause_between_segments: Milliseconds = 500
    default_divider_duration: Milliseconds = 2_000


class TextSettings(Category):
    """Of the contract's own clients."""

    preferred_max_segment_length: int = Field(default=250, ge=50, le=5_000)


class QualitySettings(Category):
    """Of the contract's own clients."""

    auto_analyze_segment: bool = False
    auto_analyze_chapter: bool = False
    auto_regenerate_defects: int = Field(default=0, ge=0, le=2)
    max_regenerate_attempts: int = Field(default=5, ge=1, le=100)


class LanguageSettings(Category):
    """The languages that lists of engines are narrowed to."""

    allowed_languages: list[Language] = Field(default=["de", "en"], max_length=300)


class FreeSettings(BaseModel):
    """Whatever a client keeps there."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]


CATEGORIES: dict[str, type[BaseModel]] = {
    "engines": EngineSettings,
    "tts": FreeSettings,
    "audio": AudioSettings,
    "text": TextSettings,
    "stt": FreeSettings,
    "quality": QualitySettings,
    "languages": LanguageSettings,
}
MOST_CHARACTERS = 100_000
_read: dict[str, tuple[float, dict[str, Any]]] = {}


def default_of(category: str) -> dict[str, Any]:
    """A category as nobody has touched it."""
    values = CATEGORIES[category]().model_dump(by_alias=True)
    if category == "engines":
        values["inactivityTimeoutMinutes"] = settings.ENGINE_IDLE_MINUTES
    return values


def all_settings() -> dict[str, Any]:
    """Every category with its values in force."""
    rows = dict(StoredSettings.objects.values_list("category", "value"))
    return {name: {**default_of(name), **rows.get(name, {})} for name in CATEGORIES}


def setting_of(key: str) -> Any:
    """A category, or a value in one by `category.key`. Raises Refused SETTINGS_KEY_NOT_FOUND."""
    category, *path = key.split(".")
    found: Any = all_settings().get(category)
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    if found is None:
        raise Refused(
            "SETTINGS_KEY_NOT_FOUND", f"There is no setting {key[:80]}.", status=404, key=key[:80]
        )
    return copy.deepcopy(found)


@transaction.atomic
def set_category(category: str, value: Mapping[str, Any], *, user: User | None) -> dict[str, Any]:
    """Replace a category; absent keys go back to their defaults.

    Raises Refused SETTINGS_KEY_NOT_FOUND or SETTINGS_INVALID, and changes nothing then.
    """
    require_role(user, User.Role.ADMIN)
    shape = CATEGORIES.get(category)
    if shape is None:
        raise Refused(
            "SETTINGS_KEY_NOT_FOUND",
            f"There is no category {category[:80]}; there are {', '.join(CATEGORIES)}.",
            status=404,
            key=category[:80],
        )
    try:
        checked = shape.model_validate(dict(value))
    except ValidationError as error:
        faults = {
            ".".join(map(str, fault["loc"]))[:80]: (
                f"{category} has no such setting"
                if fault["type"] == "extra_forbidden"
                else fault["msg"]
            )
            for fault in error.errors()[:20]
        }
        words = "; ".join(f"{name}: {why}" for name, why in faults.items())
        raise Refused("SETTINGS_INVALID", f"{words}.", status=400, **faults) from error
    stored = checked.model_dump(by_alias=True, exclude_unset=True)
    text = json.dumps(stored)
    if len(text) > MOST_CHARACTERS or "\\u0000" in text:
        raise Refused("SETTINGS_INVALID", f"This is more than {category} can keep.", status=400)
    row = StoredSettings.objects.filter(category=category).first()
    StoredSettings.objects.update_or_create(category=category, defaults={"value": stored})
    note("settings.change", category, user=user, before=row.value if row else {}, after=stored)
    _told("settings.updated", f"The settings of {category} were changed", category)
    return {**default_of(category), **stored}


@transaction.atomic
def reset_settings(*, user: User | None) -> dict[str, Any]:
    """Every category back to its defaults."""
    require_role(user, User.Role.ADMIN)
    StoredSettings.objects.all().delete()
    note("settings.reset", "All categories", user=user)
    _told("settings.reset", "The settings went back to their defaults", "")
    return all_settings()


def _told(event: str, text: str, category: str) -> None:
    transaction.on_commit(forget)
    announce(TOPIC, event, text=text, key=category)


def forget() -> None:
    """Read again what is asked for next."""
    _read.clear()


def engine_setting(key: str) -> Any:
    """A value of `engines` for who asks often: read at most once a second."""
    kept = _read.get("engines")
    if kept is None or time.monotonic() - kept[0] > FRESH_SECONDS:
        row = StoredSettings.objects.filter(category="engines").values_list("value", flat=True)
        kept = _read["engines"] = time.monotonic(), row.first() or {}
    return kept[1].get(key, default_of("engines")[key])
