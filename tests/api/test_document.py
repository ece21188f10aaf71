"""The OpenAPI document: each change of the API is seen in `docs/openapi.json`."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.test import Client
from jsonschema_rs import meta
from pydantic import BaseModel

from abm.api import document
from abm.api_examples import SHAPES
from accounts.rest import ALWAYS, Shape, Wish
from tests.api.conftest import Program

FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
DOCUMENT = document()
OPERATIONS = [
    (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def text() -> str:
    """As the file has it."""
    out = io.StringIO()
    call_command("abm", "openapi", stdout=out)
    return out.getvalue()


def test_the_document_is_the_one_that_is_written_down() -> None:
    assert FILE.read_text() == text(), "write it anew: make openapi"


def test_it_is_given_out_as_it_is(viewing: Program) -> None:
    assert viewing.get("/api/openapi.json").json() == json.loads(text())


def test_it_is_openapi_3_1() -> None:
    made = DOCUMENT

    assert made["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(made).validate()
    for schema in made["components"]["schemas"].values():
        assert meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_operation_says_what_it_does_and_how_it_fails(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    answers = {int(status) for status in operation["responses"]}

    assert answers >= {200, *ALWAYS}, path
    assert operation["summary"]
    assert operation["x-role"] in {"viewer", "operator", "admin"}
    assert operation["security"] == [{"Bearer": []}, {"Key": []}]


def test_ids_of_operations_are_told_apart() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]

    assert len(ids) == len(set(ids))


def test_shapes_are_told_apart_by_their_names() -> None:
    """Two of one name would be one in the document."""
    shapes = [one for one in _below(Shape) if one.__module__.split(".")[-1].startswith("api")]
    names = [one.__name__ for one in shapes]

    assert sorted(names) == sorted(set(names))


def test_what_may_be_sent_has_an_example_that_is_taken() -> None:
    wishes = {one.__name__: one for one in _below(Wish)}
    sent = {
        found
        for _, _, operation in OPERATIONS
        for found in re.findall(r"schemas/(\w+)", json.dumps(operation.get("requestBody", {})))
    }

    assert sent == set(SHAPES)
    for name, example in SHAPES.items():
        wishes[name].model_validate_json(json.dumps(example))
        assert DOCUMENT["components"]["schemas"][name]["examples"] == [example]


def _below(shape: type[BaseModel]) -> list[type[BaseModel]]:
    found = shape.__subclasses__()
    return [*found, *(deeper for one in found for deeper in _below(one))]


def test_aliases_stay_out_of_it() -> None:
    paths = DOCUMENT["paths"]

    assert {path for path in paths if "/docker/" in path or path.endswith("/")} == {
        "/api/",
        "/api/engines/docker/discover",
        "/api/engines/docker/register",
    }
    assert all(path.startswith("/api/") for path in paths)


def test_keys_are_camel_case() -> None:
    shapes = DOCUMENT["components"]["schemas"].values()

    keys = {key for shape in shapes for key in shape.get("properties", ())}
    assert not {key for key in keys if not re.fullmatch(r"[a-z][a-zA-Z0-9]*", key)}


def test_the_page_of_it_loads_nothing_from_elsewhere(admin: Client) -> None:
    page = admin.get("/docs/").content.decode()

    assert "swagger-ui-bundle" in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
