"""Wheels made on the spot, so that an install has something to fetch without a network."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path


def make_wheel(folder: Path, *, name: str = "little", version: str = "1.0", size: int = 10) -> Path:
    """A wheel with one module; `size` is that of a file of random bytes in it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    contents: dict[str, str | bytes] = {
        f"{name}/__init__.py": f'VERSION = "{version}"\n',
        f"{name}/filling.bin": os.urandom(size),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{inside},,\n" for inside in contents)
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, content in contents.items():
            wheel.writestr(inside, content)
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def make_source(folder: Path, requirements: str) -> Path:
    """An engine's folder with these requirements, and a server that does nothing."""
    folder.mkdir(parents=True)
    (folder / "server.py").write_text("")
    (folder / "requirements.txt").write_text(requirements)
    return folder


def make_backend(folder: Path, backend: str) -> Path:
    """A package that builds itself with this code: no network is asked for setuptools."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(backend)
    return folder
