"""The bundled catalog and the schema are made from the engines' own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundled.build_catalog import HERE, catalog_text, engine_files, schema_text
from catalog.reading import read_catalog


def test_the_catalog_is_up_to_date() -> None:
    assert (HERE / "catalog.yaml").read_text() == catalog_text()


def test_the_schema_is_up_to_date() -> None:
    assert (HERE / "engine.schema.json").read_text() == schema_text()


def test_every_bundled_engine_is_read_without_a_problem() -> None:
    content = (HERE / "catalog.yaml").read_bytes()

    reading = read_catalog(content, compatible_with="1.1.2", folder=HERE)

    assert reading.problems == ()
    assert {found.definition.name for found in reading.engines} == {
        "espeak-ng",
        "pocketsphinx",
        "pysbd",
        "silero-vad",
    }
    assert all(Path(found.folder, "server.py").is_file() for found in reading.engines)
    assert all(found.definition.abm.runs_anywhere for found in reading.engines)


def test_the_catalog_of_a_release_says_where_the_images_are() -> None:
    content = catalog_text("ghcr.io/someone/abm").encode()

    reading = read_catalog(content, compatible_with="1.1.2")

    assert reading.problems == ()
    assert {found.image for found in reading.engines} == {
        f"ghcr.io/someone/abm/{file.parent.name}" for file in engine_files()
    }


@pytest.mark.parametrize("file", engine_files(), ids=lambda file: file.parent.name)
def test_each_engine_has_its_papers(file: Path) -> None:
    for name in ("server.py", "requirements.txt", "Dockerfile", "README.md"):
        assert (file.parent / name).is_file(), name


@pytest.mark.parametrize("file", engine_files(), ids=lambda file: file.parent.name)
def test_requirements_are_pinned(file: Path) -> None:
    lines = (file.parent / "requirements.txt").read_text().splitlines()

    assert lines
    assert all("==" in line for line in lines)
