"""Which abm this is: on a daemon that several share, each touches only what it made itself."""

from __future__ import annotations

import secrets
from pathlib import Path

from django.conf import settings


def deployment_id() -> str:
    """Sixteen hexadecimal digits, made once and kept in the data directory.

    A restored copy of the directory keeps it, so that the engines of before are found again.
    """
    file = Path(settings.DATA_DIR) / "deployment"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        pass
    made = secrets.token_hex(8)
    new = file.with_name(f"deployment.{made}")
    new.write_text(f"{made}\n")
    try:
        # Of two processes that begin at once, the first one's link stays.
        file.hardlink_to(new)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        new.replace(file)
    new.unlink(missing_ok=True)
    return file.read_text().strip()
