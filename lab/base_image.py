"""The base image: Debian bookworm with its Python 3.11, made by mmdebstrap.

It stands in for Docker Hub's `python:3.11-slim` and trusts the certificates that this machine does,
so that pip works in it wherever it works here.
"""

from __future__ import annotations

from pathlib import Path

from lab.debian import LEFT_OUT, debian_with
from lab.place import LabError
from lab.pushing import Image, Layer, Pusher, digest_of

NAME, TAG = "library/python", "3.11-slim"
KEY = "abm.lab.key"
"""Label of every image of the lab: a digest of what it was made from."""
PACKAGES = "ca-certificates,passwd,python-is-python3,python3,python3-pip,python3-venv"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
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
    """Debian with Python. Raises LabError."""
    trusts = f"--customize-hook=copy-in {CERTIFICATES} {CERTIFICATES.parent}"
    options = [trusts] if CERTIFICATES.is_file() else []
    return debian_with(PACKAGES, options, made="the base image")
