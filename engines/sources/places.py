"""Where files for images may lie on this machine: what an admin allowed, and abm's own folders."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from pathlib import Path

from django.conf import settings

from accounts.refused import Refused

KEPT_SECONDS = 86_400
SAVED_NAME = re.compile(r"[^a-z0-9._-]+")


def roots() -> list[Path]:
    """Folders below which an admin may name others: those of the settings, and abm's own."""
    named = [Path(root) for root in settings.MOUNT_ROOTS]
    if settings.ENGINES_DIR is not None:
        named.append(Path(settings.ENGINES_DIR))
    return [*named, settings.BASE_DIR / "bundled"]


def allowed_folder(text: str) -> Path:
    """The folder that a person named, links followed. Raises Refused PATH_INVALID."""
    found = _allowed(text)
    if not found.is_dir():
        raise Refused("PATH_INVALID", f"There is no folder {text} on this machine.", status=400)
    return found


def allowed_file(text: str) -> Path:
    """The file that a person named, links followed. Raises Refused PATH_INVALID."""
    found = _allowed(text)
    if not found.is_file():
        raise Refused("PATH_INVALID", f"There is no file {text} on this machine.", status=400)
    return found


def _allowed(text: str) -> Path:
    if not text.startswith("/") and not Path(text).is_absolute():
        raise Refused("PATH_INVALID", "Write the whole path, from the root on.", status=400)
    if "\0" in text:
        raise Refused("PATH_INVALID", "A path has no NUL character.", status=400)
    found = Path(os.path.realpath(text))
    allowed = [Path(os.path.realpath(root)) for root in roots()]
    if not any(found.is_relative_to(root) for root in allowed):
        known = " or ".join(str(root) for root in roots())
        raise Refused(
            "PATH_INVALID",
            f"{text} does not lie below {known}. Choose something there, or allow another folder "
            "in the settings (MOUNT_ROOTS).",
            status=400,
        )
    return found


def uploads() -> Path:
    """Where uploads gather; made if need be."""
    return _made(settings.DATA_DIR / "uploads")


def saved_files() -> Path:
    """Where saved images wait to be fetched; made if need be."""
    return _made(settings.DATA_DIR / "saved")


def workspace() -> Path:
    """Where repositories are fetched to."""
    return _made(settings.DATA_DIR / "builds")


def new_saved_file(name: str) -> Path:
    """A name nobody can guess, that ends as a person would call the file."""
    return saved_files() / f"{secrets.token_hex(8)}-{file_name(name)}.tar"


def file_name(name: str) -> str:
    """A name of an image as a part of a file's name."""
    return SAVED_NAME.sub("-", name.lower()).strip("-.")[:100] or "image"


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def tidy() -> int:
    """Delete uploads, saved images and fetched sources that are a day old; how many those were."""
    before = time.time() - KEPT_SECONDS
    deleted = 0
    for place in (*_rows("uploads"), *_rows("saved"), *_rows("builds")):
        try:
            if place.stat().st_mtime >= before:
                continue
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink()
            deleted += 1
        except FileNotFoundError:
            continue  # somebody else was quicker
    return deleted


def _rows(folder: str) -> list[Path]:
    return list((settings.DATA_DIR / folder).glob("*"))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
