"""A catalog's text as definitions, and what is wrong with the rest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from catalog.definition import CatalogHead, EngineDefinition, version_key
from catalog.safe_yaml import UnreadableYaml, load

MAX_SOURCE_BYTES = 1_000_000
FOLDERS = {"tts": "tts", "stt": "stt", "text_processing": "text", "audio_analysis": "audio"}


class CatalogUnreadable(Exception):
    """The whole catalog cannot be used; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """One engine that a catalog lists."""

    definition: EngineDefinition
    image: str = ""
    folder: str = ""
    content_hash: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The engines of a catalog, and a sentence for each entry that was left out."""

    engines: tuple[Found, ...]
    problems: tuple[str, ...]
    registry: str = ""


def reason_of(error: ValidationError) -> str:
    """The first three faults, each with its place."""
    faults = []
    for fault in error.errors(include_url=False, include_context=False)[:3]:
        place = ".".join(str(part) for part in fault["loc"]) or "it"
        faults.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(faults)[:500]


def read_catalog(content: bytes, *, compatible_with: str, folder: Path | None = None) -> Reading:
    """Parse a catalog. Raises CatalogUnreadable for one that is none at all.

    `folder` is where the engines' sources lie, as `<type>/<name>`, when they come with abm.
    """
    try:
        raw = load(content)
    except UnreadableYaml as error:
        raise CatalogUnreadable(str(error)) from error
    if not isinstance(raw, dict):
        raise CatalogUnreadable("It is not a catalog: it has no list of engines.")
    try:
        head = CatalogHead.model_validate({k: v for k, v in raw.items() if v is not None})
    except ValidationError as error:
        raise CatalogUnreadable(f"It is not a catalog: {reason_of(error)}.") from error
    if version_key(head.min_app_version) > version_key(compatible_with):
        raise CatalogUnreadable(
            f"It asks for Audiobook Maker {head.min_app_version} or newer; "
            f"this abm is compatible with {compatible_with}."
        )
    found: dict[str, Found] = {}
    problems = []
    for number, row in enumerate(head.engines, start=1):
        name = row.get("name") if isinstance(row, dict) else None
        try:
            definition = _definition(row, compatible_with)
        except (ValidationError, ValueError) as error:
            why = reason_of(error) if isinstance(error, ValidationError) else str(error)
            problems.append(f"{str(name)[:64] if name else f'entry {number}'}: {why}")
            continue
        if definition.name in found:
            problems.append(f"{definition.name}: stands there twice; the first one counts")
            continue
        found[definition.name] = _found(definition, head.registry, folder)
    return Reading(tuple(found.values()), tuple(problems), head.registry)


def _found(definition: EngineDefinition, registry: str, folder: Path | None) -> Found:
    image = f"{registry}/{definition.name}" if registry else ""
    if folder is None:
        return Found(definition, image, "", "")
    place = folder / definition.engine_type / definition.name
    return Found(definition, image, str(place), folder_hash(place))


def _definition(row: Any, compatible_with: str) -> EngineDefinition:
    definition = EngineDefinition.model_validate(row)
    if version_key(definition.min_app_version) > version_key(compatible_with):
        raise ValueError(
            f"asks for Audiobook Maker {definition.min_app_version} or newer; "
            f"this abm is compatible with {compatible_with}"
        )
    return definition


def read_folder(root: Path) -> Reading:
    """Engines under development: `{tts,stt,text_processing,audio_analysis}/<name>/engine.yaml`.

    Folders that begin with `_` are passed over, as the seed does.
    """
    if not root.is_dir():
        raise CatalogUnreadable(f"The folder {root} is not there.")
    found: dict[str, Found] = {}
    problems = []
    for kind in (*FOLDERS, "text", "audio"):
        for file in sorted((root / kind).glob("*/engine.yaml")):
            if file.parent.name.startswith("_"):
                continue
            try:
                definition = read_definition(file)
            except CatalogUnreadable as error:
                problems.append(f"{kind}/{file.parent.name}: {error}")
                continue
            if definition.name in found:
                problems.append(f"{kind}/{file.parent.name}: {definition.name} stands there twice")
                continue
            found[definition.name] = Found(
                definition, "", str(file.parent), folder_hash(file.parent)
            )
    return Reading(tuple(found.values()), tuple(problems))


def read_definition(file: Path) -> EngineDefinition:
    """An engine.yaml. Raises CatalogUnreadable with the reason."""
    try:
        return EngineDefinition.model_validate(load(file.read_bytes()))
    except OSError as error:
        raise CatalogUnreadable(f"cannot be read: {error.strerror}") from error
    except UnreadableYaml as error:
        raise CatalogUnreadable(str(error)) from error
    except ValidationError as error:
        raise CatalogUnreadable(reason_of(error)) from error


def folder_hash(folder: Path) -> str:
    """A digest of an engine's own files, so that a change is noticed.

    Environments, hidden files and links are passed over; of a file too large for source code
    (a model) the size and the time of its change stand for its content.
    """
    digest = hashlib.sha256()
    for file in _own_files(folder):
        try:
            found = file.stat()
            is_large = found.st_size > MAX_SOURCE_BYTES
            content = b"%d %d" % (found.st_size, found.st_mtime_ns) if is_large else None
            digest.update(f"{file.relative_to(folder)}\0".encode("utf-8", "surrogateescape"))
            digest.update(content or file.read_bytes())
        except OSError:
            continue  # it went away meanwhile, or is not ours to read
    return digest.hexdigest()


def _own_files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            if not name.startswith(".") and not (here / name).is_symlink():
                yield here / name
