"""Writes bundled/catalog.yaml and engine.schema.json from the engines' own files.

Run as `python -m bundled.build_catalog` from the project's root after changing an engine.yaml.
A release writes one more, to hand out: `--registry ghcr.io/owner/abm --to catalog.yaml` says where
the engines' images are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from catalog.definition import engine_schema

HERE = Path(__file__).resolve().parent
TYPES = ("tts", "stt", "text", "audio")
HEAD = "# Made by bundled/build_catalog.py from the engines' engine.yaml files. Do not edit.\n"


def engine_files() -> list[Path]:
    """The engine.yaml of each bundled engine, by type and name."""
    return [file for kind in TYPES for file in sorted((HERE / kind).glob("*/engine.yaml"))]


def catalog_text(registry: str = "") -> str:
    """The catalog in the form that online catalogs have; images are `<registry>/<name>`."""
    engines: list[dict[str, Any]] = []
    for file in engine_files():
        definition = yaml.safe_load(file.read_text())
        definition.pop("schema_version")
        engines.append(definition)
    head = {"catalog_version": "1.0", "min_app_version": "1.1.0", "registry": registry}
    return HEAD + yaml.safe_dump(
        {**head, "engines": engines}, sort_keys=False, allow_unicode=True, width=100
    )


def schema_text() -> str:
    return json.dumps(engine_schema(), indent=2) + "\n"


def main() -> None:
    asked = argparse.ArgumentParser(description="Write the catalog of the bundled engines.")
    asked.add_argument("--registry", default="")
    asked.add_argument("--to", type=Path)
    given = asked.parse_args()
    if given.to is not None:
        given.to.write_text(catalog_text(given.registry))
        return
    (HERE / "catalog.yaml").write_text(catalog_text())
    (HERE / "engine.schema.json").write_text(schema_text())


if __name__ == "__main__":
    main()
