"""Looking whether something is where Docker is looked for, without failing over it."""

from __future__ import annotations

import json
from pathlib import Path


def read_object(file: Path) -> dict[str, object]:
    """A JSON object of Docker's, or nothing where it cannot be read: another place is tried."""
    try:
        read = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def exists(path: Path, *, unseen: bool = False) -> bool:
    """Whether it is there; `unseen` is the answer where abm may not look."""
    try:
        path.stat()
    except PermissionError:
        return unseen
    except OSError:
        return False
    return True


def named_pipes() -> set[str]:
    """Names of the pipes of Windows: opening one to see if it exists would take a connection."""
    try:
        return {entry.name for entry in Path(r"\\.\pipe").iterdir()}
    except OSError:
        return set()
