"""A new engine's folder, small and working."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from string import Template

from catalog.reading import FOLDERS

TEMPLATES = Path(__file__).parent / "new_engine"
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
TYPES = tuple(FOLDERS.values())


class NotMade(Exception):
    """The folder was not made; the message is a sentence that says why."""


def new_engine(folder: Path, *, name: str, engine_type: str, contract: Path) -> list[Path]:
    """Write an engine into `folder`, which must be new or empty; the files, sorted.

    `contract` is the package that speaks HTTP for it and is copied beside it. Raises NotMade.
    """
    if engine_type not in TYPES:
        raise NotMade(f"{engine_type} is no type of engine; there are {', '.join(TYPES)}.")
    if not NAME.fullmatch(name):
        raise NotMade(
            f"{name} is no name for an engine: small letters, digits and hyphens, a letter first."
        )
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise NotMade(f"{folder} is there already; name a new folder.")
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, name, engine_type)
        shutil.copytree(
            contract, folder / contract.name, ignore=shutil.ignore_patterns("__pycache__")
        )
    except OSError as error:
        raise NotMade(f"{error.filename} cannot be written: {error.strerror}.") from error
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write(folder: Path, name: str, engine_type: str) -> None:
    words = name.replace("-", " ").strip()
    values = {
        "name": name,
        "display_name": words[:1].upper() + words[1:],
        "folder": f"{_parent_of(engine_type)}/{folder.name}",
    }
    own = TEMPLATES / engine_type
    for template in (TEMPLATES / "README.md-tpl", own / "engine.yaml-tpl", own / "server.py-tpl"):
        text = Template(template.read_text("utf-8")).substitute(values)
        (folder / template.name.removesuffix("-tpl")).write_text(text, "utf-8")
    shutil.copyfile(TEMPLATES / "requirements.txt", folder / "requirements.txt")


def _parent_of(engine_type: str) -> str:
    """The folder below ENGINES_DIR where engines of this type are looked for."""
    return next(folder for folder, kind in FOLDERS.items() if kind == engine_type)
