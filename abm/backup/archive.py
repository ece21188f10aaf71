"""A backup: everything of this abm but images and engines' environments, in one sealed file.

Inside the seal is a tar, gzip: `manifest.json`, then `rows/<number>-<table>.jsonl`, then
`files/<path below DATA_DIR>`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from django.conf import settings
from django.db import connection, transaction
from django.db.utils import DatabaseError
from django.utils import timezone

from abm.backup.rows import at_one_moment, blocks, migrations, replace_all
from abm.backup.sealing import BackupUnusable, SealedReader, SealedWriter
from abm.notify.models import Delivery
from accounts.models import User
from accounts.secrets import SecretUnreadable, renewed
from engines.models import Engine
from hosts.deployment import deployment_id

FOLDERS = ("samples", "trials", "models")
LEVEL = 3
"""Of gzip: models hardly shrink, and rows shrink well at any level."""
TOKEN_BEGIN = "gAAAAA"
"""Of every Fernet token: its version and the first bytes of a time before the year 2106."""
NOT_SENT = "abm was restored from a backup before this was sent."


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back: rows by table, files, and from which abm."""

    counts: dict[str, int]
    files: int
    version: str
    made_at: str


def write_backup(file: Path, *, passphrase: str, has_models: bool = True) -> int:
    """Write a backup, also of an abm that runs; its size in bytes. Raises BackupUnusable.

    It takes its name only when it is whole, so that what stands there is never half a backup.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            sealed = SealedWriter(out, passphrase)
            with (
                gzip.GzipFile(fileobj=cast(IO[bytes], sealed), mode="wb", compresslevel=LEVEL) as z,
                tarfile.open(fileobj=z, mode="w|") as tar,
            ):
                _add_rows(tar)
                for folder in FOLDERS if has_models else FOLDERS[:-1]:
                    _add_folder(tar, Path(settings.DATA_DIR) / folder)
            sealed.finish()
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        raise BackupUnusable(
            f"The backup could not be made: {error.strerror or error} "
            f"({error.filename or part}). Free some space, or write it to another place."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


def read_backup(file: Path, *, passphrase: str, replaces: bool) -> Restored:
    """Bring a backup back into this abm, which must not run. Raises BackupUnusable.

    The whole file is read before anything is changed; rows come back all or none.
    """
    manifest = _looked_through(file, passphrase)
    _require_fit(manifest)
    if not replaces:
        _require_empty()
    try:
        with transaction.atomic():
            found = _rows(file, passphrase)
            counts = replace_all(found, change=_translation(manifest))
            Delivery.objects.filter(status__in=["waiting", "sending"]).update(
                status=Delivery.Status.FAILED, error=NOT_SENT
            )
    except DatabaseError as error:
        raise BackupUnusable(
            f"The database did not take the backup, and is as it was: {str(error).strip()}"
        ) from error
    try:
        (Path(settings.DATA_DIR) / "deployment").write_text(f"{manifest['deployment']}\n")
        files = _put_files(file, passphrase)
    except OSError as error:
        raise BackupUnusable(
            f"The rows are back, but not all files: {error}. Mend that, then restore once more "
            "with --replace."
        ) from error
    return Restored(counts, files, manifest["abm"], manifest["made_at"])


def _add_rows(tar: tarfile.TarFile) -> None:
    with at_one_moment():
        manifest = {
            "abm": settings.VERSION,
            "made_at": timezone.now().isoformat(timespec="seconds"),
            "migrations": migrations(),
            "database": connection.vendor,
            "deployment": deployment_id(),
            "data_dir": str(settings.DATA_DIR),
            "base_dir": str(settings.BASE_DIR),
            "keys": [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS],
        }
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        for number, (label, block) in enumerate(blocks()):
            _add(tar, f"rows/{number:06}-{label}.jsonl", block)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _add_folder(tar: tarfile.TarFile, folder: Path) -> None:
    """Files and links below it; what goes away meanwhile is left out."""
    for path in sorted(folder.rglob("*")):
        name = f"files/{path.relative_to(settings.DATA_DIR)}"
        try:
            member = tar.gettarinfo(path, name)
            if member.issym():
                tar.addfile(member)
            elif path.is_file():
                # Hard links too: each is a file of its own in the backup.
                with path.open("rb") as content:
                    member.type, member.linkname = tarfile.REGTYPE, ""
                    member.size = os.fstat(content.fileno()).st_size
                    tar.addfile(member, content)
        except FileNotFoundError:
            continue


def _members(file: Path, passphrase: str) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Raises BackupUnusable where the file cannot be read to its end."""
    try:
        with file.open("rb") as opened:
            sealed = SealedReader(opened, passphrase)
            with tarfile.open(fileobj=cast(IO[bytes], sealed), mode="r|gz") as tar:
                for member in tar:
                    yield member, tar.extractfile(member) if member.isfile() else None
            while sealed.read(1 << 20):
                pass  # to the last piece, which says that nothing was cut off
    except (OSError, tarfile.TarError, EOFError) as error:
        raise BackupUnusable(f"{file} cannot be read: {error}") from error


def _looked_through(file: Path, passphrase: str) -> dict[str, Any]:
    """The manifest of a backup that was read to its end. Raises BackupUnusable."""
    manifest: dict[str, Any] = {}
    for member, content in _members(file, passphrase):
        if content is None:
            continue
        if member.name == "manifest.json":
            manifest = json.load(content)
        while content.read(1 << 20):
            pass
    if not manifest:
        raise BackupUnusable("The backup has no manifest. Use another one.")
    return manifest


def _rows(file: Path, passphrase: str) -> Iterator[tuple[str, bytes]]:
    for member, content in _members(file, passphrase):
        if member.name.startswith("rows/") and content is not None:
            label = PurePosixPath(member.name).name.removesuffix(".jsonl").split("-", 1)[1]
            yield label, content.read()


def _put_files(file: Path, passphrase: str) -> int:
    """Files of the backup, in the place of those of the same name; how many."""
    root, number = Path(settings.DATA_DIR).resolve(), 0
    for member, content in _members(file, passphrase):
        if not member.name.startswith("files/"):
            continue
        path = root / member.name.removeprefix("files/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(root):
            raise BackupUnusable(f"The backup names a file outside the data: {member.name}")
        path.unlink(missing_ok=True)
        if content is None:
            path.symlink_to(member.linkname)
        else:
            with path.open("wb") as out:
                while piece := content.read(1 << 20):
                    out.write(piece)
        number += 1
    return number


def _require_fit(manifest: dict[str, Any]) -> None:
    theirs, ours = manifest["migrations"], migrations()
    if theirs == ours:
        return
    is_older = set(theirs) < set(ours)
    way = (
        "Restore it with that one, then upgrade that." if is_older else "Restore it with that one."
    )
    raise BackupUnusable(
        f"The backup is of {'an older' if is_older else 'another'} abm, {manifest['abm']}, whose "
        f"tables are others than those of this one ({settings.VERSION}). {way}"
    )


def _require_empty() -> None:
    people, engines = User.objects.count(), Engine.objects.count()
    if people or engines:
        raise BackupUnusable(
            f"This abm is not empty: it has {people} people and {engines} engines. Restore into "
            "an empty one, or add --replace to lose what is here."
        )


def _translation(manifest: dict[str, Any]) -> Callable[[str], str]:
    """Of a text of that abm into this one's: secrets under its key, places below its folders."""
    places = [
        (manifest["data_dir"], str(settings.DATA_DIR)),
        (manifest["base_dir"], str(settings.BASE_DIR)),
    ]

    def change(text: str) -> str:
        if text.startswith(TOKEN_BEGIN):
            try:
                return renewed(text, former=manifest["keys"])
            except SecretUnreadable:
                return text  # nobody could read it there either
        for old, new in places:
            if text == old or text.startswith(f"{old}/"):
                return new + text[len(old) :]
        return text

    return change
