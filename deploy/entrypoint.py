"""The container's first process: becomes abm's user and hands over to manage.py.

As root it gives the data directory to PUID:PGID (1000:1000), joins the group of Docker's socket and
drops every right before anything of abm runs. Started as another user, it changes nothing.
`secrets FOLDER` makes what the stack's services share and ends. Only the standard library.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from pathlib import Path

APP = Path(__file__).resolve().parent.parent
SECRETS = ("postgres_password", "secret_key")
DEFAULT_ID = 1000


def main(words: list[str]) -> None:
    if words[:1] == ["secrets"]:
        make_secrets(Path(words[1]), owner=wanted_user())
        return
    if os.geteuid() == 0:
        become_user()
    python = APP / "venv" / "bin" / "python"
    os.environ["HOME"] = os.environ.get("DATA_DIR", "/app/data")
    os.chdir(APP)
    os.execv(python, [str(python), "manage.py", *words])


def wanted_user() -> tuple[int, int]:
    """PUID and PGID. Ends with a sentence for what is no number, or root."""
    found = []
    for name in ("PUID", "PGID"):
        text = os.environ.get(name, "").strip() or str(DEFAULT_ID)
        if not text.isdecimal() or int(text) == 0:
            sys.exit(f"abm cannot start: {name} is “{text}”; it must be a number above 0.")
        found.append(int(text))
    return found[0], found[1]


def become_user() -> None:
    """From root to PUID:PGID, with the group of Docker's socket if there is one."""
    user, group = wanted_user()
    own_folder(Path(os.environ.get("DATA_DIR", "/app/data")), user, group)
    if temporary := os.environ.get("TMPDIR", ""):
        own_folder(Path(temporary), user, group)
    socket = docker_group()
    os.setgroups([group] if socket is None else sorted({group, socket}))
    os.setgid(group)
    os.setuid(user)


def own_folder(folder: Path, user: int, group: int) -> None:
    """Give the data directory to the user; a walk only where its owner is another one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = folder.stat()
        if (found.st_uid, found.st_gid) == (user, group):
            return
        for place, folders, files in os.walk(folder):
            for name in (*folders, *files):
                os.chown(Path(place, name), user, group, follow_symlinks=False)
        # Last, so that a walk that was cut off is done again.
        os.chown(folder, user, group)
    except OSError as error:
        # Network shares often forbid it and are writable all the same; abm checks that itself.
        say(f"{folder} stays with its owner: {error.strerror}")


def docker_group() -> int | None:
    """The group that may use Docker's socket; None where none is mounted."""
    address = os.environ.get("DOCKER_HOST", "").strip() or "unix:///var/run/docker.sock"
    if not address.startswith("unix://"):
        return None
    try:
        found = Path(address.removeprefix("unix://")).stat()
    except OSError:
        return None
    return found.st_gid if stat.S_ISSOCK(found.st_mode) else None


def make_secrets(folder: Path, *, owner: tuple[int, int]) -> None:
    """Make the secrets that are not there yet; those that are stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SECRETS:
        file = folder / name
        if file.is_file() and file.stat().st_size:
            continue
        draft = folder / f".{name}"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as opened:
            opened.write(secrets.token_urlsafe(48))
        if os.geteuid() == 0:
            os.chown(draft, *owner)
        draft.replace(file)
        say(f"made {file}")


def say(text: str) -> None:
    sys.stderr.write(f"abm: {text}\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["serve"])
