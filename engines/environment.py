"""The environment variables of an engine: those its definition asks for, and any others.

Values lie in `Engine.environment` as the text that the engine gets, secrets encrypted in
`Engine.secrets`. A secret is never sent to a page: it shows as set or not set, stays when its field
is left empty, and goes when it is ticked away. A declared default is what the engine takes by
itself, so it is never sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from django.db import transaction
from pydantic import ValidationError

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from accounts.secrets import SecretUnreadable, decrypted, encrypted
from catalog.extras import EnvironmentVariable
from engines.forms import Cell
from engines.models import Engine
from engines.noting import note_engine
from jobs.events import announce
from jobs.outcome import WorkFailed

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z", re.ASCII)
RESERVED = frozenset({"PORT", "HOST", "PYTHONPATH", "PATH", "SAMPLES_DIR", "MODELS_DIR"})
"""What abm itself sets."""
MAX_VARIABLES, MAX_TEXT = 100, 10_000
BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), "true"),
    **dict.fromkeys(("false", "0", "no", "off"), "false"),
}
WHOLE = re.compile(r"[+-]?\d{1,18}\Z", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})(e[+-]?\d{1,3})?\Z", re.I | re.ASCII)


class Posted(Protocol):
    """What is asked of Django's QueryDict."""

    def get(self, key: str, default: str, /) -> str | None: ...
    def getlist(self, key: str, /) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class VariableRow:
    """One variable as the form shows it; `name` and `value` hold what was typed."""

    name: Cell
    value: Cell
    known: EnvironmentVariable | None = None
    """What the definition says of it; None for one that the user added."""
    is_secret: bool = False
    is_set: bool = False
    """A secret is kept for it."""

    @property
    def default_text(self) -> str:
        default = self.known.default if self.known else None
        if isinstance(default, bool):
            return "true" if default else "false"
        return "" if default is None else str(default)


@dataclass(slots=True)
class Environment:
    """The form, and what it stands for if no row has an error."""

    rows: list[VariableRow] = field(default_factory=list)
    plain: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """Encrypted."""
    errors: list[str] = field(default_factory=list)

    @property
    def known_rows(self) -> list[VariableRow]:
        return [row for row in self.rows if row.known]

    @property
    def free_rows(self) -> list[VariableRow]:
        return [row for row in self.rows if not row.known]


class SecretLost(WorkFailed):
    """A variable of an engine was encrypted with a SECRET_KEY that abm no longer has."""

    code = "SECRET_LOST"


class _Unfit(ValueError):
    """A value does not fit; the message is a sentence."""


def wanted_by(engine: Engine) -> dict[str, EnvironmentVariable]:
    """The variables that its definition asks for, by name; ones that make no sense are left out."""
    wanted = {}
    for raw in (engine.definition.get("abm") or {}).get("environment") or []:
        try:
            variable = EnvironmentVariable.model_validate(raw)
        except ValidationError:
            continue
        if variable.name not in RESERVED:
            wanted[variable.name] = variable
    return wanted


def environment_shown(engine: Engine) -> Environment:
    """The form for what is set."""
    wanted = wanted_by(engine)
    plain = {str(name): str(value) for name, value in engine.environment.items()}
    shown = Environment(plain=plain, secrets=dict(engine.secrets))
    free = [name for name in (*plain, *shown.secrets) if name not in wanted]
    for name in (*wanted, *dict.fromkeys(free)):
        is_secret = name in shown.secrets or (name in wanted and wanted[name].is_secret)
        is_set = is_secret and (name in shown.secrets or name in plain)
        text = "" if is_secret else plain.get(name, "")
        row = VariableRow(Cell(name), Cell(text), wanted.get(name), is_secret, is_set)
        shown.rows.append(row)
    return shown


def read_environment(engine: Engine, posted: Posted) -> Environment:
    """What a form sent.

    A known variable comes as `variable-NAME`, or `remove-NAME` to take its secret away; the others
    as rows of `env-name`, `env-value` and `env-kind` (`plain` or `secret`).
    """
    read, wanted = Environment(), wanted_by(engine)
    for variable in wanted.values():
        typed = _typed(posted.get(f"variable-{variable.name}", "") or "")
        is_removed = posted.get(f"remove-{variable.name}", "") == "on"
        kept = "" if is_removed else _kept(engine, variable)
        _take(read, Cell(variable.name), typed, known=variable, kept=kept)
    names, values = posted.getlist("env-name"), posted.getlist("env-value")
    kinds = posted.getlist("env-kind")
    values += [""] * (len(names) - len(values))
    kinds += ["plain"] * (len(names) - len(kinds))
    for raw, value, kind in zip(names, values, kinds, strict=False):
        name, typed = raw.strip(), _typed(value)
        if not name and not typed:
            continue
        kept = engine.secrets.get(name, "")
        cell = Cell(name, _name_refused(name, read, wanted))
        _take(read, cell, typed, is_secret=kind == "secret", kept=kept)
    if len(read.rows) > MAX_VARIABLES:
        read.errors.append(f"{len(read.rows)} variables are too many; {MAX_VARIABLES} can be set.")
    return read


@transaction.atomic
def set_variables(engine: Engine, *, variables: Environment, user: User | None) -> Engine:
    """Keep them; they count from the next start.

    Raises Refused ENVIRONMENT_INVALID, with every sentence, if one does not fit.
    """
    require_role(user, User.Role.ADMIN)
    if variables.errors:
        raise Refused("ENVIRONMENT_INVALID", " ".join(variables.errors), status=400)
    before = _noted(engine)
    engine.environment, engine.secrets = variables.plain, variables.secrets
    engine.save(update_fields=["environment", "secrets", "updated_at"])
    text = f"The environment of {engine} was changed"
    announce("engines", "engine.changed", text=text, pk=engine.pk)
    note_engine("environment", engine, user=user, before=before, after=_noted(engine))
    return engine


def _noted(engine: Engine) -> dict[str, list[str]]:
    """For the audit: names only, because a plain variable may hold a secret all the same."""
    return {"variables": sorted(engine.environment), "of those secret": sorted(engine.secrets)}


def require_variables(engine: Engine) -> None:
    """Raise Refused ENVIRONMENT_MISSING where the engine needs one that is not set."""
    missing = [
        f"{variable.name} ({variable.description.rstrip('.')})"
        if variable.description
        else variable.name
        for variable in wanted_by(engine).values()
        if variable.is_required
        and variable.default is None
        and not engine.environment.get(variable.name)
        and not engine.secrets.get(variable.name)
    ]
    if missing:
        raise Refused(
            "ENVIRONMENT_MISSING",
            f"{engine} needs {', '.join(missing)} before it can start. Set it under Settings.",
            variables=",".join(missing),
        )


def variables_of(engine: Engine) -> dict[str, str]:
    """What the engine gets, secrets in plain. Raises SecretLost."""
    values = {str(name): str(value) for name, value in engine.environment.items()}
    for name, token in engine.secrets.items():
        try:
            values[name] = decrypted(token)
        except SecretUnreadable as error:
            raise SecretLost(f"{name} of {engine}: {error}") from error
    return values


def _kept(engine: Engine, variable: EnvironmentVariable) -> str:
    """The encrypted value there is; one that was set before it was called a secret becomes one."""
    token = str(engine.secrets.get(variable.name, ""))
    if token or not variable.is_secret or not engine.environment.get(variable.name):
        return token
    return encrypted(str(engine.environment[variable.name]))


def _typed(text: str) -> str:
    return text.strip().replace("\x00", "")


def _take(
    read: Environment,
    name: Cell,
    typed: str,
    *,
    known: EnvironmentVariable | None = None,
    is_secret: bool = False,
    kept: str,
) -> None:
    """Add a row, and what it stands for or why it does not fit."""
    is_secret = is_secret or (known is not None and known.is_secret)
    error = ""
    try:
        value = checked(known, typed) if known else _text(name.text, typed)
        if kept and not typed and not is_secret and known is None:
            raise _Unfit(f"{name.text} was secret: enter its value again to have it shown.")
        if is_secret and (value or kept):
            read.secrets[name.text] = encrypted(value) if value else kept
        elif not is_secret and (value or known is None):
            read.plain[name.text] = value
    except _Unfit as refusal:
        error = str(refusal)
    read.errors += [sentence for sentence in (name.error, error) if sentence]
    shown = "" if is_secret else typed
    read.rows.append(VariableRow(name, Cell(shown, error), known, is_secret, bool(kept)))


def checked(variable: EnvironmentVariable, text: str) -> str:
    """What the engine gets for a text; empty stays empty. Raises ValueError with a sentence."""
    name = variable.name
    if not text:
        return ""
    if variable.type == "bool":
        if text.lower() not in BOOLEANS:
            raise _Unfit(f"{name} is either on or off; {text[:40]} is neither.")
        return BOOLEANS[text.lower()]
    if variable.type == "int" and not WHOLE.match(text):
        raise _Unfit(f"{name} must be a whole number; {text[:40]} is not.")
    if variable.type == "float":
        text = text.replace(",", ".")
        if not NUMBER.match(text):
            raise _Unfit(f"{name} must be a number; {text[:40]} is not.")
    if variable.type == "choice" and text not in variable.options:
        raise _Unfit(f"{name} must be one of {', '.join(variable.options)}; {text[:40]} is not.")
    return _text(name, text)


def _text(name: str, text: str) -> str:
    if len(text) > MAX_TEXT:
        raise _Unfit(f"{name} is longer than {MAX_TEXT} characters.")
    return text


def _name_refused(name: str, read: Environment, wanted: Mapping[str, object]) -> str:
    if not name:
        return "A value has no name: write one before it, or take the row away."
    if not NAME.match(name):
        return f"{name[:40]} is no name of a variable: use letters, digits and _, no digit first."
    if name in RESERVED:
        return f"{name} is set by abm itself. Take the row away."
    if name in wanted or name in read.plain or name in read.secrets:
        return f"{name} stands there twice. Take one of them away."
    return ""
