"""Who may do what over the API: every operation asked as nobody and as each role."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from abm.api import addresses, document
from accounts.models import User
from accounts.roles import ORDER
from tests.abm.urls import patterns
from tests.api.conftest import As, Program

METHODS = ("get", "post", "put", "patch", "delete")
OPERATIONS = [
    (method, path, operation["x-role"])
    for path, operations in document()["paths"].items()
    for method, operation in operations.items()
]
OPEN = {"api/shutdown", "api/shutdown/", "shutdown"}
"""403 for everybody, with a token or without."""


def asked(path: str) -> str:
    """An address of this path that names nothing there is."""
    numbers = re.sub(r"{(\w*_id)}", lambda found: _value(found[1]), path)
    return re.sub(r"{\w+}", "tts", numbers)


def _value(name: str) -> str:
    named = {"host_id": "docker:nowhere", "variant_id": "nothing:nowhere"}
    return named.get(name, "4711")


@pytest.mark.parametrize(("method", "path", "role"), OPERATIONS)
def test_nobody_gets_in_without_a_token(
    db: None, client: Client, method: str, path: str, role: str
) -> None:
    assert getattr(client, method)(asked(path)).status_code == 401


@pytest.mark.parametrize(("method", "path", "role"), OPERATIONS)
def test_each_role_may_do_what_it_may(as_role: As, method: str, path: str, role: str) -> None:
    for one in ORDER:
        answer = as_role(one.value).ask(method.upper(), asked(path))
        is_refused = ORDER.index(one) < ORDER.index(User.Role(role))

        assert (answer.status_code == 403) is is_refused, (one, answer.content[:200])
        if is_refused:
            assert answer.json()["detail"] == f"[ROLE_REQUIRED]role:{role}"
        assert answer.status_code < 500


def test_what_changes_something_is_not_for_viewers() -> None:
    free = {(method, path) for method, path, role in OPERATIONS if role == "viewer"}

    assert {one for one in free if one[0] != "get"} == {
        ("post", "/api/tokens"),  # one's own
        ("delete", "/api/tokens/{token_id}"),
    }


def test_every_address_of_the_api_wants_a_token(db: None, client: Client) -> None:
    for pattern in patterns():
        if not pattern.startswith("api/") or pattern in OPEN:
            continue
        path = "/" + re.sub(r"<(?:\w+:)?\w+>", "1", pattern)
        for method in METHODS:
            assert getattr(client, method)(path).status_code == 401, (method, path)


@pytest.mark.parametrize("route", sorted(addresses))
def test_a_slash_at_the_end_changes_nothing(program: Program, route: str) -> None:
    path = "/api/" + re.sub(r"<(?:\w+:)?\w+>", "1", route)

    plain, slashed = program.get(path), program.get(f"{path}/") if route else program.get(path)

    assert plain.status_code == slashed.status_code
