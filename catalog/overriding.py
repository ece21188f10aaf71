"""What an admin says of an entry beside its source, checked as a catalog itself would be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from pydantic import ValidationError

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from catalog.definition import EngineDefinition
from catalog.models import CatalogEntry, CatalogSource
from catalog.reading import reason_of
from catalog.services import save_custom_entry, set_override

FIELDS = {"models" if name == "model_rows" else name: name for name in CatalogEntry.OVERRIDABLE}
"""What may be said otherwise -> the column that it stands for."""


@transaction.atomic
def say_of_entry(
    entry: CatalogEntry, *, values: Mapping[str, Any], user: User | None
) -> CatalogEntry:
    """Say something else of an entry; one that was made here is changed itself.

    `values` are by the names of FIELDS. Raises Refused ENTRY_INVALID if they do not fit together.
    """
    require_role(user, User.Role.ADMIN)
    said = {FIELDS[name]: value for name, value in values.items()}
    wanted = {name: said.get(name, entry.effective(name)) for name in CatalogEntry.OVERRIDABLE}
    fields = _checked(entry, wanted)
    if entry.source.kind == CatalogSource.Kind.CUSTOM:
        for name in said:
            setattr(entry, name, fields[name])
        return save_custom_entry(entry, user=user)
    for name in said:
        if fields[name] != entry.effective(name):
            entry = set_override(entry, field=name, value=fields[name], user=user)
    return entry


def _checked(entry: CatalogEntry, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that these values give."""
    values = {name: value for name, value in wanted.items() if name != "license"}
    values["models"] = values.pop("model_rows")
    upstream = {"name": entry.upstream_name, "url": entry.upstream_url}
    try:
        definition = EngineDefinition.model_validate(
            {
                **values,
                "name": entry.name,
                "engine_type": entry.engine_type,
                "upstream": {**upstream, "license": wanted["license"]},
            }
        )
    except ValidationError as error:
        raise Refused("ENTRY_INVALID", f"{reason_of(error)}.", status=400) from error
    return definition.entry_fields()
