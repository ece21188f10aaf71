"""Files of images that a browser sends in parts: small bodies, and a way on after a broken line.

An upload is a folder with one growing file. All else stands in its signed token, so there is no
row to go stale; what nobody finishes is deleted after a day.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.core import signing

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from engines.sources.places import KEPT_SECONDS, free_bytes, uploads
from engines.sources.services import load_upload, require_docker
from hosts.models import Host
from jobs.models import Job

SALT = "abm.upload"
MEGABYTE = 1_000_000
MOST_OF_A_PART = 8 * MEGABYTE
SPARE_BYTES = 64 * MEGABYTE
UNWANTED = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way; `size` in bytes."""

    id: str
    user: int
    host: int
    name: str
    size: int

    @property
    def token(self) -> str:
        return signing.dumps(asdict(self), salt=SALT)

    @property
    def file(self) -> Path:
        return uploads() / self.id / self.name

    @property
    def received(self) -> int:
        """Bytes that are here."""
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0


def part_bytes() -> int:
    """How large a part may be."""
    return min(MOST_OF_A_PART, int(settings.MAX_UPLOAD_MB) * MEGABYTE)


def start_upload(name: str, *, size: int, host: Host, user: User) -> Upload:
    """Raises Refused UPLOAD_EMPTY, UPLOAD_TOO_LARGE, DISK_FULL, HOST_NOT_DOCKER, HOST_NOT_READY."""
    require_role(user, User.Role.OPERATOR, host=host.pk)
    require_docker(host)
    most = int(settings.MAX_IMAGE_MB) * MEGABYTE
    if size < 1:
        raise Refused("UPLOAD_EMPTY", "This file is empty. Choose another one.", status=400)
    if size > most:
        raise Refused(
            "UPLOAD_TOO_LARGE",
            f"{name[:100]} has {size / 1e9:.1f} GB; abm takes files of up to {most / 1e9:.1f} GB. "
            "MAX_IMAGE_MB sets the limit.",
            status=413,
        )
    free = free_bytes(uploads())
    if free < size + SPARE_BYTES:
        raise Refused(
            "DISK_FULL",
            f"{name[:100]} has {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free where uploads "
            "go. Free some space there, or name the file by its path instead.",
            status=507,
        )
    upload = Upload(secrets.token_hex(16), user.pk, host.pk, _safe(name), size)
    upload.file.parent.mkdir()
    upload.file.touch()
    return upload


def read_upload(token: str, *, user: User) -> Upload:
    """The upload of this token, which must be the person's own. Raises Refused UPLOAD_GONE."""
    require_role(user, User.Role.OPERATOR)
    try:
        upload = Upload(**signing.loads(token, salt=SALT, max_age=KEPT_SECONDS))
    except signing.BadSignature as error:
        raise _gone() from error
    if upload.user != user.pk or not upload.file.is_file():
        raise _gone()
    return upload


def write_part(upload: Upload, part: bytes, *, offset: int) -> int:
    """Put a part where it belongs; how many bytes are here now.

    A part that came before is written again, which changes nothing. Raises Refused UPLOAD_GAP.
    """
    received = upload.received
    if not 0 <= offset <= received or offset + len(part) > upload.size:
        raise Refused(
            "UPLOAD_GAP",
            f"Of {upload.name} {received} bytes are here, so no part that begins at {offset} can "
            "follow. Press Go on.",
            status=416,
            received=received,
        )
    with upload.file.open("r+b") as file:
        file.seek(offset)
        file.write(part)
    return upload.received


def finish_upload(upload: Upload, *, user: User) -> Job:
    """Load it into its host. Raises Refused UPLOAD_INCOMPLETE, and as load_upload does."""
    if upload.received != upload.size:
        raise Refused(
            "UPLOAD_INCOMPLETE",
            f"Of {upload.name} {upload.received} of {upload.size} bytes are here. Press Go on.",
        )
    host = Host.objects.filter(pk=upload.host).first()
    if host is None:
        raise Refused("HOST_GONE", "The host was removed meanwhile. Choose another one.")
    return load_upload(upload.file, name=upload.name, host=host, user=user)


def _gone() -> Refused:
    return Refused(
        "UPLOAD_GONE", "This upload is gone: it ended, or is a day old. Begin anew.", status=404
    )


def _safe(name: str) -> str:
    """The end of the path that a browser tells, as a name that stays in its folder."""
    last = re.split(r"[/\\]", name)[-1]
    return UNWANTED.sub("-", last).strip(".-")[-100:] or "images.tar"
