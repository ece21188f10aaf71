"""Debian as one layer of an image, made by mmdebstrap."""

from __future__ import annotations

import gzip
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lab.place import LabError, program

LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
BUILD_SECONDS = 300


def debian_with(packages: str, options: Iterable[str], *, made: str) -> bytes:
    """A gzipped tar of it, the same each time. Raises LabError with mmdebstrap's last lines."""
    with tempfile.TemporaryDirectory(prefix="abm-lab-") as folder:
        tar = Path(folder) / "debian.tar"
        command = [
            program("mmdebstrap"),
            "--variant=minbase",
            f"--include={packages}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
            "--customize-hook=rm -rf $1/var/lib/apt/lists/* $1/var/cache/apt/* $1/var/log/*",
            *options,
        ]
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
            raise LabError(f"mmdebstrap could not make {made}:\n{last}") from error
        except subprocess.TimeoutExpired as error:
            raise LabError(f"mmdebstrap did not end in {BUILD_SECONDS} s.") from error
        return gzip.compress(tar.read_bytes(), compresslevel=1, mtime=0)
