"""What a person sets on an engine: parameters, language, the developer's restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from accounts.audit import columns
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from engines.models import Engine
from engines.noting import note_engine
from engines.schema import parameters_of, validated_parameters
from engines.services import set_default_model
from jobs.events import announce


@transaction.atomic
def set_parameters(engine: Engine, *, values: Mapping[str, Any], user: User | None) -> Engine:
    """Keep the values that differ from the defaults; the next call to the engine uses them.

    Raises Refused PARAMETERS_INVALID and changes nothing if one value does not fit.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    checked = validated_parameters(engine, values)
    known = parameters_of(engine)
    before = engine.parameters
    kept = {**before, **checked}
    engine.parameters = {
        name: value
        for name, value in kept.items()
        if name not in known or value != known[name].default
    }
    note_engine("parameters", engine, user=user, before=before, after=engine.parameters)
    return _saved(engine, ["parameters"], f"Parameters of {engine} were changed")


@transaction.atomic
def reset_parameter(engine: Engine, *, name: str, user: User | None) -> Engine:
    """Back to what the engine's definition says; quiet if it was never changed."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    before = engine.parameters
    engine.parameters = {key: value for key, value in before.items() if key != name}
    note_engine("parameters", engine, user=user, before=before, after=engine.parameters)
    return _saved(engine, ["parameters"], "")


@transaction.atomic
def set_language(engine: Engine, *, language: str, user: User | None) -> Engine:
    """The language that is meant when none is named; empty leaves the choice to abm."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    known = [str(code) for code in engine.definition.get("supported_languages") or []]
    if language and language not in known:
        raise Refused(
            "LANGUAGE_UNKNOWN",
            f"{engine} does not know the language “{language[:20]}”.",
            status=400,
            language=language[:20],
        )
    before = columns(engine, "default_language")
    engine.default_language = language
    after = columns(engine, "default_language")
    note_engine("language", engine, user=user, before=before, after=after)
    return _saved(engine, ["default_language"], "")


@transaction.atomic
def set_preferences(
    engine: Engine,
    *,
    model: str | None,
    language: str | None,
    parameters: Mapping[str, Any] | None,
    user: User | None,
) -> Engine:
    """Several at once, or none of them; None leaves one as it is.

    Raises Refused MODEL_NOT_FOUND, LANGUAGE_UNKNOWN or PARAMETERS_INVALID.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    if parameters is not None:
        engine = set_parameters(engine, values=parameters, user=user)
    if language is not None:
        engine = set_language(engine, language=language, user=user)
    if model:
        row = engine.engine_models.filter(name=model).first()
        if row is None:
            raise Refused(
                "MODEL_NOT_FOUND", f"{engine} has no model “{model[:80]}”.", status=404, model=model
            )
        set_default_model(row, user=user)
    return engine


@transaction.atomic
def set_restarts_on_change(engine: Engine, *, restarts: bool, user: User | None) -> Engine:
    """For an engine's developer: end and start it when one of its files is saved."""
    require_role(user, User.Role.ADMIN)
    if restarts and not engine.definition.get("is_in_place"):
        raise Refused(
            "NOT_IN_PLACE",
            f"{engine} runs from a copy; only engines found under ENGINES_DIR restart on save.",
        )
    engine.restarts_on_change = restarts
    note_engine("restarts_on_change", engine, user=user, after={"is_on": restarts})
    return _saved(engine, ["restarts_on_change"], "")


def _saved(engine: Engine, fields: list[str], text: str) -> Engine:
    engine.save(update_fields=[*fields, "updated_at"])
    announce("engines", "engine.changed", text=text, pk=engine.pk)
    return engine
