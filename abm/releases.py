"""Whether a newer abm is out: asked for now and then, kept in a file that all processes share."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from catalog.source import FetchFailed, fetch

log = logging.getLogger(__name__)

EVERY_SECONDS = 6 * 3600.0
FILE = "newest_release.json"
VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Release:
    """A newer abm, where its notes are, and the command that brings it."""

    version: str
    notes: str
    command: str


def ask() -> None:
    """Ask RELEASES_URL, which answers as GitHub does; a failure is only logged."""
    file = Path(settings.DATA_DIR) / FILE
    with contextlib.suppress(OSError):
        if abs(time.time() - file.stat().st_mtime) < EVERY_SECONDS:
            return
    if not settings.RELEASE_CHECK or not settings.RELEASES_URL:
        return
    try:
        said = json.loads(fetch(settings.RELEASES_URL, allows_private=True).content or b"{}")
        told = {"version": str(said["tag_name"]), "notes": str(said["html_url"])}
        file.write_text(json.dumps(told))
    except (FetchFailed, OSError, ValueError, KeyError, TypeError) as error:
        log.info("whether a newer abm is out is not known: %s", error)


def newer_release() -> Release | None:
    """The newest abm, if it is newer than this one and to be told."""
    if not settings.RELEASE_CHECK or not settings.RELEASES_URL:
        return None
    try:
        told = json.loads((Path(settings.DATA_DIR) / FILE).read_text())
        version, notes = str(told["version"]), str(told["notes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    newest, ours = _numbers(version), _numbers(settings.VERSION)
    if newest is None or ours is None or newest <= ours or not notes.startswith("https://"):
        return None
    return Release(version.removeprefix("v"), notes, _command())


def _numbers(version: str) -> tuple[int, ...] | None:
    """To compare; None for anything but three numbers, so also for a version to try out."""
    found = VERSION.fullmatch(version)
    return tuple(int(number) for number in found.groups()) if found else None


def _command() -> str:
    if not Path("/.dockerenv").exists():
        return "git pull && make run"
    if settings.IS_EMBEDDED:
        return "docker pull, then docker run as before, with the same volume"
    return "docker compose pull && docker compose up -d"
