"""What is wrong, or odd, in an engine's folder: read only, nothing of it is run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from catalog.definition import EngineDefinition
from catalog.reading import FOLDERS
from catalog.safe_yaml import UnreadableYaml, load
from catalog.words import is_translation_key

PINNED = re.compile(r"[A-Za-z0-9._\[\],-]+\s*(==|@)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the folder; an error keeps abm from running the engine."""

    text: str
    is_error: bool = False


def check_engine(folder: Path) -> list[Finding]:
    """Everything found; empty when nothing is to be said."""
    if not folder.is_dir():
        return [Finding(f"{folder} is not a folder.", is_error=True)]
    return [
        *_definition(folder),
        *_server(folder / "server.py"),
        *_requirements(folder / "requirements.txt"),
    ]


def _definition(folder: Path) -> Iterator[Finding]:
    try:
        raw = load((folder / "engine.yaml").read_bytes())
    except FileNotFoundError:
        yield Finding("engine.yaml is missing.", is_error=True)
        return
    except OSError as error:
        yield Finding(f"engine.yaml cannot be read: {error.strerror}.", is_error=True)
        return
    except UnreadableYaml as error:
        yield Finding(f"engine.yaml: {error}", is_error=True)
        return
    if not isinstance(raw, dict):
        yield Finding("engine.yaml holds no keys.", is_error=True)
        return
    yield from _keys(raw)
    try:
        definition = EngineDefinition.model_validate(raw)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            place = ".".join(str(part) for part in fault["loc"]) or "as a whole"
            said = fault["msg"].removeprefix("Value error, ")
            yield Finding(f"engine.yaml, {place}: {said}.", is_error=True)
        return
    yield from _habits(raw, definition)
    yield from _place(folder, definition)


def _keys(raw: dict[str, Any]) -> Iterator[Finding]:
    known = EngineDefinition.model_fields
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; is {near[0]} meant?" if near else ""
            yield Finding(f"engine.yaml: nobody reads the key {key}{hint}")
    for key in ("schema_version", "upstream", "variants"):
        if key not in raw:
            yield Finding(f"engine.yaml: {key} is missing, which Audiobook Maker asks for.")


def _habits(raw: dict[str, Any], definition: EngineDefinition) -> Iterator[Finding]:
    if not definition.models and not definition.auto_discover_models:
        yield Finding("engine.yaml: models is empty, so abm has nothing to load.")
    if not definition.supported_languages and definition.engine_type != "audio":
        yield Finding("engine.yaml: supported_languages is empty, so any language is offered.")
    for name, rule in (raw.get("parameters") or {}).items():
        if is_translation_key(str(rule.get("label") or "")):
            yield Finding(
                f"engine.yaml, parameters.{name}: the label {rule['label']} is a key of somebody's "
                f"translations; abm shows “{definition.parameters[name].label}”."
            )


def _place(folder: Path, definition: EngineDefinition) -> Iterator[Finding]:
    """Whether a search below ENGINES_DIR would come by, and find the right type."""
    kind, name = folder.resolve().parent.name, folder.resolve().name
    wanted = next(key for key, value in FOLDERS.items() if value == definition.engine_type)
    if name.startswith("_"):
        yield Finding(f"Folders that begin with _ are passed over; rename {name}.")
    if kind not in (wanted, definition.engine_type):
        yield Finding(
            f"ENGINES_DIR is searched for {wanted}/{definition.name}; this folder lies in {kind}."
        )
    venv = definition.installation.venv_path
    if venv and not (folder / venv / "bin" / "python").exists():
        yield Finding(f"installation.venv_path names {venv}, where no bin/python is.")


def _server(file: Path) -> Iterator[Finding]:
    try:
        compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except FileNotFoundError:
        yield Finding("server.py is missing.", is_error=True)
    except OSError as error:
        yield Finding(f"server.py cannot be read: {error.strerror}.", is_error=True)
    except SyntaxError as error:
        yield Finding(f"server.py, line {error.lineno or 1}: {error.msg}.", is_error=True)
    except ValueError as error:
        yield Finding(f"server.py is not Python: {error}.", is_error=True)


def _requirements(file: Path) -> Iterator[Finding]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        yield Finding("requirements.txt is missing, so nothing is installed for the engine.")
        return
    except (OSError, UnicodeDecodeError):
        yield Finding("requirements.txt cannot be read as text.", is_error=True)
        return
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if text and not text.startswith("-") and not PINNED.match(text):
            yield Finding(
                f"requirements.txt, line {number}: {text[:60]} has no fixed version (==), so two "
                "installs may differ."
            )
