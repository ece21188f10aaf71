"""The base image: Debian bookworm with its Python 3.11, made by mmdebstrap.

It stands in for Docker Hub's `python:3.11-slim` and trusts the certificates that this machine does,
so that pip works in it wherever it works here.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import tempfile
from pathlib import Path

from lab.place import LabError, program
from lab.pushing import Image, Layer, Pusher, digest_of

NAME, TAG = "library/python", "3.11-slim"
KEY = "abm.lab.key"
"""Label of every image of the lab: a digest of what it was made from."""
PACKAGES = "ca-certificates,passwd,python-is-python3,python3,python3-pip,python3-venv"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
BUILD_SECONDS = 240
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ensure(pusher: Pusher) -> Image:
    """The base image in the registry, made now if it is not there. Raises LabError."""
    key = wanted_key()
    there = pusher.find(NAME, TAG)
    if there is None or there.labels.get(KEY) != key:
        run = {
            "Cmd": ["python3"],
            "Env": [f"PATH={PATH}", "LANG=C.UTF-8"],
            "Labels": {KEY: key},
        }
        layer = Layer.of_gzip(_bootstrap())
        pusher.push(NAME, TAG, [layer], run=run)
        there = pusher.find(NAME, TAG)
    if there is None:
        raise LabError(f"The registry took {NAME}:{TAG} and does not have it.")
    return there


def wanted_key() -> str:
    """Changes when the base would become another one."""
    trusted = CERTIFICATES.read_bytes() if CERTIFICATES.is_file() else b""
    return digest_of(PACKAGES.encode() + "".join(LEFT_OUT).encode() + trusted)


def _bootstrap() -> bytes:
    """Debian as a gzipped tar. Raises LabError with mmdebstrap's last lines."""
    with tempfile.TemporaryDirectory(prefix="abm-lab-") as folder:
        tar = Path(folder) / "base.tar"
        command = [
            program("mmdebstrap"),
            "--variant=minbase",
            f"--include={PACKAGES}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
            "--customize-hook=rm -rf $1/var/lib/apt/lists/* $1/var/cache/apt/* $1/var/log/*",
        ]
        if CERTIFICATES.is_file():
            command.append(f"--customize-hook=copy-in {CERTIFICATES} {CERTIFICATES.parent}")
        try:
            subprocess.run(
                [*command, "bookworm", str(tar)],
                check=True,
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                env={**os.environ, "TMPDIR": folder, "SOURCE_DATE_EPOCH": "0"},
            )
        except subprocess.CalledProcessError as error:
            last = "\n".join(error.stderr.splitlines()[-8:])
            raise LabError(f"mmdebstrap could not make the base image:\n{last}") from error
        except subprocess.TimeoutExpired as error:
            raise LabError(f"mmdebstrap did not end in {BUILD_SECONDS} s.") from error
        return gzip.compress(tar.read_bytes(), compresslevel=1, mtime=0)
