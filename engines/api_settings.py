"""The contract's settings over the API, validated; and an engine's parameters as its schema."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from ninja import Router

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import Shape, TypeName, VariantId, Wish, bytes_of, endpoint, person
from catalog.models import EngineType
from engines import stored_settings
from engines.api_naming import engine_of
from engines.models import Engine
from engines.queries import engines_shown
from engines.schema import parameters_of

router = Router(tags=["settings"], by_alias=True)
ADMIN = User.Role.ADMIN


class SettingsAnswer(Shape):
    """Every category with its values in force."""

    engines: dict[str, Any]
    tts: dict[str, Any]
    audio: dict[str, Any]
    text: dict[str, Any]
    stt: dict[str, Any]
    quality: dict[str, Any]
    languages: dict[str, Any]


class SettingAnswer(Shape):
    """A category, or one value by `category.key`."""

    key: str
    value: Any


class SettingWish(Wish):
    """A whole category; absent keys go back to their defaults."""

    value: dict[str, Any]


class ResetAnswer(Shape):
    """Everything is at its default again."""

    success: bool = True
    message: str
    settings: SettingsAnswer


class LimitsAnswer(Shape):
    """How long a segment may be: by the user's wish, by the engine, by both."""

    user_preference: int
    engine_maximum: int
    effective_limit: int


class SchemaAnswer(Shape):
    """The parameters of an engine by name."""

    parameters: dict[str, dict[str, Any]]


@endpoint(router, "GET", "/settings", response=SettingsAnswer, summary="Read the settings")
def get_settings(request: HttpRequest) -> HttpResponseBase:
    return bytes_of(SettingsAnswer(**stored_settings.all_settings()))


@endpoint(
    router,
    "POST",
    "/settings/reset",
    response=ResetAnswer,
    role=ADMIN,
    summary="Put every setting back",
)
def reset_settings(request: HttpRequest) -> HttpResponseBase:
    values = stored_settings.reset_settings(user=person(request))
    said = "Settings reset to defaults"
    return bytes_of(ResetAnswer(message=said, settings=SettingsAnswer(**values)))


@endpoint(
    router,
    "GET",
    "/settings/segment-limits/{variant_id}",
    response=LimitsAnswer,
    errors=[404],
    summary="How long a segment may be",
)
def segment_limits(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    engine = _engine(variant_id)
    wish = int(stored_settings.setting_of("text.preferredMaxSegmentLength"))
    said = (engine.definition.get("constraints") or {}).get("max_text_length")
    most = said if isinstance(said, int) else wish
    return bytes_of(
        LimitsAnswer(user_preference=wish, engine_maximum=most, effective_limit=min(wish, most))
    )


@endpoint(
    router,
    "GET",
    "/settings/engine-schema/{engine_type}/{variant_id}",
    response=SchemaAnswer,
    errors=[400, 404],
    summary="Read an engine's parameters",
)
def typed_schema(
    request: HttpRequest, engine_type: TypeName, variant_id: VariantId
) -> HttpResponseBase:
    if engine_type not in EngineType.values:
        raise Refused(
            "SETTINGS_INVALID_ENGINE_TYPE",
            f"There is no type {engine_type[:20]}.",
            status=400,
            engineType=engine_type[:20],
        )
    engine = _engine(variant_id)
    if engine.engine_type != engine_type:
        raise _unknown(variant_id)
    return bytes_of(_schema(engine))


@endpoint(
    router,
    "GET",
    "/settings/engine-schema/{variant_id}",
    response=SchemaAnswer,
    errors=[404],
    summary="Read an engine's parameters, by its id alone",
)
def schema(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    return bytes_of(_schema(_engine(variant_id)))


def _engine(variant_id: str) -> Engine:
    """By its id, or by its name alone: then the default, else the first of that name."""
    if ":" in variant_id:
        return engine_of(variant_id, code="SETTINGS_ENGINE_NOT_FOUND")
    named = engines_shown().filter(name=variant_id).order_by("-is_default", "pk").first()
    if named is None:
        raise _unknown(variant_id)
    return named


def _unknown(variant_id: str) -> Refused:
    return Refused(
        "SETTINGS_ENGINE_NOT_FOUND",
        f"There is no engine {variant_id[:80]}.",
        status=404,
        variantId=variant_id[:80],
    )


def _schema(engine: Engine) -> SchemaAnswer:
    known = parameters_of(engine)
    return SchemaAnswer(
        parameters={
            name: parameter.model_dump(mode="json", exclude_none=True)
            for name, parameter in known.items()
        }
    )


@endpoint(
    router,
    "GET",
    "/settings/{key}",
    response=SettingAnswer,
    errors=[404],
    summary="Read a setting",
)
def get_setting(request: HttpRequest, key: str) -> HttpResponseBase:
    return bytes_of(SettingAnswer(key=key, value=stored_settings.setting_of(key)))


@endpoint(
    router,
    "PUT",
    "/settings/{key}",
    response=SettingAnswer,
    role=ADMIN,
    errors=[400, 404],
    summary="Set a category",
)
def put_setting(request: HttpRequest, key: str, wish: SettingWish) -> HttpResponseBase:
    value = stored_settings.set_category(key, wish.value, user=person(request))
    return bytes_of(SettingAnswer(key=key, value=value))
