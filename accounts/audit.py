"""Writing down who did what, when, to which thing, from where; called by services.

A service calls `note` in the transaction of its change. Whence the request came is known to the
door alone, so the door wraps its call in `acting`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.audit_models import AuditEntry
from accounts.models import User

Via = AuditEntry.Via
SECRET = re.compile(
    r"pass(word|phrase)?$|secret|token$|private|credential|api_?key|^key$", re.IGNORECASE
)
HIDDEN = "•••"
LONGEST_VALUE = 1_000
"""Characters of one value; what is longer is cut, and says so."""


@dataclass(frozen=True, slots=True)
class Door:
    """How a request came in, and from which address."""

    via: AuditEntry.Via
    address: str = ""


_door: ContextVar[Door | None] = ContextVar("abm_door", default=None)


@contextmanager
def acting(*, via: AuditEntry.Via, address: str = "") -> Iterator[None]:
    """What is noted in this block came in by `via`, from `address`."""
    token = _door.set(Door(via, address[:64]))
    try:
        yield
    finally:
        _door.reset(token)


def note(
    verb: str,
    subject: models.Model | str,
    *,
    user: User | None,
    pk: object = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    words: str = "",
) -> AuditEntry:
    """Write an entry: `user` did `verb` (as `engine.start`) to `subject`.

    `before` and `after` are values by name; those that are equal are left out, those whose name
    sounds like a secret are hidden. `words` names the subject where its own words say too little.
    """
    door = _door.get() or Door(Via.ABM)
    old, new = dict(before or {}), dict(after or {})
    same = {name for name in old if name in new and old[name] == new[name]}
    own_pk = subject.pk if isinstance(subject, models.Model) else None
    found = own_pk if pk is None else pk
    return AuditEntry.objects.create(
        user_pk=user.pk if user else None,
        username=user.username if user else "",
        via=door.via,
        address=door.address,
        verb=verb,
        object_type=verb.split(".", 1)[0],
        object_pk="" if found is None else str(found)[:64],
        object_name=(words or str(subject)).replace("\x00", "")[:200],
        before=_shown({name: value for name, value in old.items() if name not in same}),
        after=_shown({name: value for name, value in new.items() if name not in same}),
    )


def columns(row: models.Model, *names: str) -> dict[str, Any]:
    """The values of some columns now, to be given as `before` or `after`."""
    return {name: getattr(row, name) for name in names}


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON keeps them, without secrets and not too long."""
    text = json.dumps(dict(values), default=str).replace("\\u0000", "")
    shown: Any = json.loads(text)
    return {name: _hidden(name, value) for name, value in shown.items()}


def _hidden(name: str, value: Any) -> Any:
    if SECRET.search(name) and value not in ("", None):
        return HIDDEN
    if isinstance(value, dict):
        value = {key: _hidden(str(key), inner) for key, inner in value.items()}
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} signs)"


def forget_old() -> int:
    """Remove entries older than AUDIT_DAYS; 0 keeps them for ever. Return how many went."""
    if not settings.AUDIT_DAYS:
        return 0
    return AuditEntry.objects.forget_before(timezone.now() - timedelta(days=settings.AUDIT_DAYS))
